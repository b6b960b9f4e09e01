"""Rankings: draw, fill the slate, predict; for one request, or for many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omakase.core.beliefs import Factors, LinearScorer, Scorer
from omakase.core.choices import Choice
from omakase.core.features import Factor
from omakase.core.filling import fill
from omakase.core.policies import Policy, Thompson
from omakase.core.top import Indices, best, best_of_products

_MOST_SCORES = 1 << 18


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best items, best first.

    Shapes: all (k,). scores are what ranked the items and never probabilities; predicted_click is the model's mean,
    clipped to [0, 1], or None; propensity is P(item at this position | context), or None where it is not known yet.
    """

    indices: Indices
    scores: NDArray[np.float32]
    predicted_click: NDArray[np.float64] | None = None
    propensity: NDArray[np.float64] | None = None


def rank(policy: Policy, scorer: Scorer | None, context: Factor, choice: Choice, rng: np.random.Generator) -> Ranking:
    """The best `choice.k` eligible items, or all where fewer are eligible. Shapes: context (m,)."""
    indices, scores = fill(policy.draw(scorer, context, choice, 1, rng), choice)
    predicted = None if scorer is None else scorer.predicted_click(context, indices)
    return Ranking(indices, scores, predicted, policy.propensity(scorer, context, choice, indices))


def can_rank_each(policy: Policy, scorer: Scorer | None, choice: Choice) -> bool:
    """Whether `rank_each` ranks it as `rank` does: a shared linear model, one draw, and just the best of it."""
    return isinstance(policy, Thompson) and isinstance(scorer, LinearScorer) and choice.rules.is_plain


def rank_each(
    policy: Policy,
    scorer: Scorer | None,
    contexts: NDArray[np.float32],
    choices: Sequence[Choice],
    rng: np.random.Generator,
) -> list[Ranking]:
    """As `rank` for each context and its choice, each with a draw of its own, by one product over the items for all.

    Shapes: contexts (b, m); choices b, all with the same values. Raises: ValueError unless `can_rank_each`.
    """
    if not all(can_rank_each(policy, scorer, choice) for choice in choices):
        raise ValueError("these are to be ranked one by one")
    assert isinstance(scorer, LinearScorer)
    weights = scorer.weights_each(contexts, policy.scale, rng)
    tops = _tops(scorer.factors, weights, choices)
    indices = [top[: choice.k] for top, choice in zip(tops, choices, strict=True)]
    scores = [scorer.factors[of] @ drawn for of, drawn in zip(indices, weights, strict=True)]
    return list(map(Ranking, indices, scores, scorer.predicted_clicks(contexts, indices)))


def _tops(factors: Factors, weights: Factors, choices: Sequence[Choice]) -> list[Indices]:
    """At least the best that each choice asks for. All at once, or block by block where that would fill the cache."""
    values, most = choices[0].values, max(choice.k for choice in choices)
    if weights.shape[0] * factors.shape[0] > _MOST_SCORES:
        return best_of_products(factors, weights, np.stack([choice.eligible for choice in choices]), most, values)
    worth = weights @ factors.T if values is None else weights @ factors.T * values
    return [best(row, choice.eligible, choice.k) for row, choice in zip(worth, choices, strict=True)]
