"""Mostly what is believed to be best, now and then anything."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from omakase.core.beliefs import Scorer
from omakase.core.choices import Choice
from omakase.core.features import Factor
from omakase.core.policies import Draws, Source
from omakase.core.top import Indices, best

_GREEDY, _EXPLORED = 0, 1


@dataclass(frozen=True, slots=True)
class EpsilonGreedy:
    """Each slot is explored with probability ε, and else has the best remaining item by the scorer's mean.

    What is explored is drawn among the remaining items, whatever they are believed to be worth, with weights in
    proportion to (1 + impressions)^-tail: with a tail of 0 all alike, with 1 an item seen 99 times a hundredth as often
    as a new one. ε is `epsilon` at first, half of it after each `decay_examples` examples, and never less than
    `min_epsilon`.

    Source: Sutton & Barto, Reinforcement Learning, 2nd edition, section 2.2; the slots of a slate explore one by one.
    """

    scale: ClassVar[float] = 0.0
    epsilon: float = 0.1
    source: Source = Source.MODEL
    decay_examples: float | None = None
    min_epsilon: float = 0.0
    tail: float = 0.0

    def rate(self, examples: float) -> float:
        """ε after so many examples."""
        if self.decay_examples is None:
            return self.epsilon
        return float(max(self.epsilon * np.exp2(-examples / self.decay_examples), self.min_epsilon))

    def weights(self, impressions: NDArray[np.float64]) -> NDArray[np.float32] | None:
        """What the items are explored by; None where they are all alike. Shapes: both (n,)."""
        if self.tail == 0.0:
            return None
        return ((1.0 + impressions) ** -self.tail).astype(np.float32)

    def draw(
        self, scorer: Scorer | None, context: Factor, choice: Choice, count: int, rng: np.random.Generator
    ) -> Draws:
        """See Policy. Exponential variates divided by weights finish in an order drawn by those weights, whoever has
        left the race before: they have no memory. Raises: ValueError without a scorer.
        """
        if scorer is None:
            raise ValueError("epsilon-greedy ranks by a model or by counts")
        mean = scorer.mean(context)
        explores = rng.random((count, choice.k)) < self.rate(scorer.examples)
        if not explores.any():
            return Draws(np.broadcast_to(mean, (count, 1, mean.size)))
        scores = np.empty((count, 2, mean.size), dtype=np.float32)
        scores[:, _GREEDY] = mean
        waits = rng.standard_exponential((count, mean.size), dtype=np.float32)
        scores[:, _EXPLORED] = -waits if choice.weights is None else -waits / choice.weights
        return Draws(scores, np.where(explores, _EXPLORED, _GREEDY), blind=_EXPLORED)

    def propensity(
        self, scorer: Scorer | None, context: Factor, choice: Choice, indices: Indices
    ) -> NDArray[np.float64] | None:
        """See Policy: exact for a slate of one, and where items are explored all alike; None behind caps and pins."""
        if scorer is None or choice.rules.caps or choice.rules.pinned:
            return None
        epsilon = self.rate(scorer.examples)
        if not indices.size or epsilon == 0.0:
            return np.ones(indices.size)
        mean = scorer.mean(context)
        worth = mean if choice.values is None else mean * choice.values
        greedy = best(worth, choice.eligible, indices.size)
        if choice.weights is None:
            table = _propensities(indices.size, int(np.count_nonzero(choice.eligible)), epsilon)
            return table[_places(indices, greedy), np.arange(indices.size)]
        if choice.k > 1:
            return None
        weights = choice.weights.astype(np.float64)
        explored = epsilon * weights[indices] / weights[choice.eligible].sum()
        return np.asarray((1.0 - epsilon) * (indices == greedy) + explored)


def _places(indices: Indices, greedy: Indices) -> Indices:
    """Where each item stands among the greedy ones, the best being 0; behind all of them where it is not there."""
    is_there = indices[:, np.newaxis] == greedy
    return np.where(is_there.any(axis=1), is_there.argmax(axis=1), greedy.size)


@lru_cache(maxsize=128)
def _propensities(k: int, eligible: int, epsilon: float) -> NDArray[np.float64]:
    """P(item at a slot) by its place among the greedy ones, where every slot explores among all alike.

    What may happen to an item depends on the slots before only by how many of its betters have been shown, for the rest
    of what was shown is worse; `shown[i, b]` is the probability of b of them, and of the item itself not being there.
    Shapes: (k + 1, k), the last row for all places behind the first k. Cost: O(k³), in k steps; requests are much
    alike, so that it is hardly ever made anew.
    """
    remaining_betters = np.maximum(np.arange(k + 1)[:, np.newaxis] - np.arange(k + 1), 0)
    is_best = remaining_betters == 0
    shown = np.zeros((k + 1, k + 1))
    shown[:, 0] = 1.0
    found = np.empty((k + 1, k))
    for slot in range(k):
        remaining = eligible - slot
        explored = epsilon / remaining
        found[:, slot] = (shown * (explored + (1.0 - epsilon) * is_best)).sum(axis=1)
        better = explored * remaining_betters + (1.0 - epsilon) * ~is_best
        worse = explored * np.maximum(remaining - 1 - remaining_betters, 0)
        moved = shown * better
        shown = shown * worse
        shown[:, 1:] += moved[:, :-1]
    return found
