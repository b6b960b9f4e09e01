"""Why an item stands where it does in a slate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omakase.core.beliefs import Scorer
from omakase.core.choices import Choice
from omakase.core.features import Factor
from omakase.core.ranking import Ranking

_MOST = 5


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one feature adds to an item's mean."""

    feature: str
    value: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """One item of a slate. What a policy does not rank by is None, and empty.

    mean and deviation are those of the scores that might have been drawn; `draw` is the one that was. `place_by_mean`
    is where the item would stand among all that may be shown if nothing were drawn, the best being 1.
    `contributions` are the largest first; those of all features sum to the mean, or to its log odds if
    the model is logistic.
    """

    draw: float
    mean: float | None
    deviation: float | None
    place_by_mean: int | None
    contributions: tuple[Contribution, ...]
    reason: str


def explain(
    scorer: Scorer | None, scale: float, names: Sequence[str], context: Factor, choice: Choice, ranking: Ranking
) -> list[Explanation]:
    """An explanation for each item of a ranking. `scale` is that of the draw; `names` those of x's coordinates.

    Cost: O(k·(n + d²)): for people, not for every request.
    """
    pinned = choice.rules.pinned
    positions = range(1, ranking.indices.size + 1)
    is_pinned = [pinned.get(j) == i for j, i in zip(positions, ranking.indices.tolist(), strict=True)]
    if scorer is None:
        return [
            Explanation(float(draw), None, None, None, (), _reason(position, held, None, 0))
            for position, held, draw in zip(positions, is_pinned, ranking.scores, strict=True)
        ]
    mean = scorer.mean(context)
    worth = mean if choice.values is None else mean * choice.values
    deviations = scale * scorer.deviation(context, ranking.indices)
    eligible = worth[choice.eligible]
    places = [1 + int(np.count_nonzero(eligible > worth[i])) for i in ranking.indices]
    return [
        Explanation(
            float(ranking.scores[j]),
            float(mean[i]),
            float(deviations[j]),
            places[j],
            _largest(scorer.contributions(context, int(i)), names),
            _reason(j + 1, is_pinned[j], places[j], eligible.size),
        )
        for j, i in enumerate(ranking.indices)
    ]


def _largest(values: NDArray[np.float64], names: Sequence[str]) -> tuple[Contribution, ...]:
    order = np.argsort(-np.abs(values), kind="stable")[:_MOST]
    return tuple(Contribution(names[i], float(values[i])) for i in order if values[i])


def _reason(position: int, is_pinned: bool, place: int | None, eligible: int) -> str:
    if is_pinned:
        return f"pinned to position {position}"
    if place is None:
        return f"drawn into position {position}"
    if place == position:
        return f"the draw leaves it where its mean puts it: {position} of {eligible}"
    moved = "raises" if place > position else "lowers"
    return f"its mean puts it at {place} of {eligible}; the draw {moved} it to {position}"
