"""How often items stand where, by drawing slates a million times and sorting them plainly; and what a count of them may
deviate by. Nothing here is what serves or counts, but the policies' own draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, nbinom

from omakase.core.beliefs import Scorer
from omakase.core.choices import Choice
from omakase.core.context_free import Popularity
from omakase.core.counting import count_propensities
from omakase.core.counts import CountScorer
from omakase.core.epsilon_greedy import EpsilonGreedy
from omakase.core.features import Factor
from omakase.core.item_learner import PerItemLearner
from omakase.core.learners import Learner, LinearLearner
from omakase.core.logistic import LogisticLearner
from omakase.core.policies import Draws, Policy, Source, Thompson, Uniform
from omakase.core.propensities import Stopping
from omakase.core.ranking import rank
from omakase.core.refolding import ExampleColumns

Numbers = NDArray[np.float64]

_M, _P = 3, 4
_CHUNK = 5_000
# Of what is rarer the frequencies are not normal.
_LEAST_SEEN = 10.0


@dataclass(frozen=True, slots=True)
class Case:
    """A frozen policy, and what it has to choose from."""

    name: str
    policy: Policy
    scorer: Scorer | None
    context: Factor
    choice: Choice

    def slates(self, draws: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
        """Plain rules only: no caps and no pins. Shapes: (some draws, k) at a time."""
        for start in range(0, draws, _CHUNK):
            count = min(_CHUNK, draws - start)
            yield plain_slates(self.policy.draw(self.scorer, self.context, self.choice, count, rng), self.choice)

    def frequencies(self, draws: int, rng: np.random.Generator) -> Numbers:
        """How often each item stood at each position. Shapes: (n, k)."""
        found = np.zeros((self.choice.eligible.size, self.choice.k))
        positions = np.arange(self.choice.k)
        for slates in self.slates(draws, rng):
            np.add.at(found, (slates, positions), 1.0)
        return found / draws

    def z_scores(self, slates: int, draws: int, stopping: Stopping, rng: np.random.Generator) -> Numbers:
        """Of what stands for p against the frequencies of `draws` draws.

        Where there is a formula: of each item at each position that has come about. Else of the reciprocals that are
        counted for so many slates, freshly served; one for each of their deliveries.
        """
        frequencies = self.frequencies(draws, rng)
        if self._formula(np.arange(self.choice.k)) is not None:
            return self._formula_z_scores(frequencies, draws)
        return np.concatenate([self._counted_z_scores(frequencies, stopping, rng) for _ in range(slates)])

    def _formula(self, indices: NDArray[np.intp]) -> Numbers | None:
        return self.policy.propensity(self.scorer, self.context, self.choice, indices)

    def _formula_z_scores(self, frequencies: Numbers, draws: int) -> Numbers:
        items = np.flatnonzero(self.choice.eligible)
        if isinstance(self.policy, Popularity):  # its formula is of what it shows
            items = frequencies.argmax(axis=0)[:1]
        p = np.array([self._formula(np.full(self.choice.k, i)) for i in items.tolist()])
        is_chance = (p < 1.0) & (p * draws >= _LEAST_SEEN)
        z: Numbers = ((frequencies[items] - p) / np.sqrt(np.maximum(p * (1.0 - p), 1e-12) / draws))[is_chance]
        return z

    def _counted_z_scores(self, frequencies: Numbers, stopping: Stopping, rng: np.random.Generator) -> Numbers:
        indices = rank(self.policy, self.scorer, self.context, self.choice, rng).indices
        (fresh,) = rng.spawn(1)
        counted = count_propensities(
            self.policy, self.scorer, self.context, self.choice, indices, stopping, fresh
        ).propensity
        p = frequencies[indices, np.arange(indices.size)]
        is_chance = (p > 0.0) & (p < 1.0)
        mean, deviation = moments(p[is_chance], stopping)
        return (1.0 / counted[is_chance] - mean) / deviation


def plain_slates(draws: Draws, choice: Choice) -> NDArray[np.intp]:
    """The slates of draws: sort once, or slot by slot where each has a row of scores. Shapes: (count, k)."""
    worth = draws.scores.astype(np.float64)
    if choice.values is not None:
        sighted = [row for row in range(worth.shape[1]) if row != draws.blind]
        worth[:, sighted] *= choice.values
    worth[:, :, ~choice.eligible] = -np.inf
    if draws.rows is None:
        return np.argsort(-worth[:, 0], axis=1, kind="stable")[:, : choice.k]
    orders = np.argsort(-worth, axis=2, kind="stable")
    return np.array([_turns(order, rows) for order, rows in zip(orders, draws.rows, strict=True)])


def _turns(order: NDArray[np.intp], rows: NDArray[np.intp]) -> list[int]:
    taken: list[int] = []
    for row in rows.tolist():
        taken.append(next(int(item) for item in order[row] if item not in taken))
    return taken


def moments(p: Numbers, stopping: Stopping) -> tuple[Numbers, Numbers]:
    """Mean and deviation of 1/propensity where the truth is p, from the distributions of N and of x. Shapes: as p."""
    wanted, most = stopping.occurrences, stopping.max_draws
    n, x = np.arange(wanted, most + 1), np.arange(wanted)
    outcomes = np.concatenate([n / wanted, (most + 1) / (x + 1)])
    chances = np.hstack([nbinom.pmf(n - wanted, wanted, p[:, np.newaxis]), binom.pmf(x, most, p[:, np.newaxis])])
    mean = chances @ outcomes
    return mean, np.sqrt(np.maximum(chances @ outcomes**2 - mean**2, 0.0))


def cases(n: int = 60, k: int = 5, seed: int = 1) -> Iterator[Case]:
    """Every policy, over models that have learnt something."""
    rng = np.random.default_rng(seed)
    items = np.hstack([np.ones((n, 1)), rng.normal(size=(n, _P - 1))]).astype(np.float32)
    context = rng.normal(size=_M).astype(np.float32)
    eligible, values = np.arange(n) % 7 != 3, rng.uniform(0.5, 2.0, n).astype(np.float32)
    plain, worthy = Choice(eligible, k), Choice(eligible, k, values=values)
    learners: dict[str, Learner] = {
        "linear": LinearLearner(_M, _P),
        "per item": PerItemLearner(_M, _P),
        "logistic": LogisticLearner(_M, _P),
    }
    scorers = {name: _learnt(learner, items, rng) for name, learner in learners.items()}
    counts = CountScorer(*_counts(n, rng))
    yield Case("linear_ts", Thompson(0.3), scorers["linear"], context, plain)
    yield Case("linear_ts, by value", Thompson(0.3), scorers["linear"], context, worthy)
    yield Case("linear_ts, per item", Thompson(0.3), scorers["per item"], context, plain)
    yield Case("logistic_ts", Thompson(0.5), scorers["logistic"], context, plain)
    yield Case("beta_ts", Thompson(1.0, Source.COUNTS), counts, context, plain)
    tail = EpsilonGreedy(0.3, tail=0.5)
    weighted = Choice(eligible, k, weights=tail.weights(counts.impressions))
    yield Case("epsilon_greedy, to the tail", tail, scorers["linear"], context, weighted)
    yield Case("epsilon_greedy", EpsilonGreedy(0.3), scorers["linear"], context, plain)
    yield Case("uniform", Uniform(), None, context, plain)
    yield Case("popularity", Popularity(), counts, context, plain)


def _learnt(learner: Learner, items: NDArray[np.float32], rng: np.random.Generator) -> Scorer:
    examples = 600
    shown = rng.integers(len(items), size=examples)
    clicks = (rng.random(examples) < 0.05 + 0.1 * (items[shown, 1] > 0.0)).astype(np.float64)
    nothing = np.full(examples, np.nan)
    ids = tuple(f"i{i}" for i in range(len(items)))
    columns = ExampleColumns(
        rng.normal(size=(examples, _M)).astype(np.float32),
        items[shown],
        np.ones(examples),
        np.zeros(examples),
        {"click": clicks, "reward": clicks},
        {"click": nothing, "reward": nothing},
        tuple(ids[i] for i in shown.tolist()),
    )
    return learner.believe(learner.absorb(learner.empty(), learner.refold(columns))).over(ids, items)


def _counts(n: int, rng: np.random.Generator) -> tuple[Numbers, Numbers, NDArray[np.float32], Numbers, float]:
    impressions = rng.integers(50, 400, n).astype(np.float64)
    alpha = 1.0 + np.round(impressions * rng.uniform(0.02, 0.06, n))
    beta = 20.0 + impressions - alpha
    return alpha, beta, (alpha / (alpha + beta)).astype(np.float32), impressions, float(impressions.sum())
