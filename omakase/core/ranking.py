"""One request's ranking: draw, fill the slate, predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omakase.core.beliefs import Scorer
from omakase.core.choices import Choice
from omakase.core.features import Factor
from omakase.core.filling import fill
from omakase.core.policies import Policy
from omakase.core.top import Indices


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
