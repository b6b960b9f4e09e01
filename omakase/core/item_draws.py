"""One draw of the scores of a per-item model: exact for all items, or for those alone that may be among the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.core.beliefs import Scores
from omakase.core.choices import Choice
from omakase.core.top import Indices

Numbers: TypeAlias = NDArray[np.float32]

# Scores in float32 keep their order but for so much of their size.
_SLACK = np.float32(1e-5)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn, before it is known how far each item heeds it.

    A score is mean + own·√v + prior·min(λ·v / zᵀz, 1), where v = zᵀP⁻¹z and λ is `prior_precision`: it moves one way in
    each term, so that bounds of v bound it. Shapes: mean (n,); own and prior (count, n).
    """

    mean: Scores
    own: Scores
    prior: Scores
    prior_precision: float

    def scores(self, z: Numbers, variances: Numbers) -> Scores:
        """Shapes: variances (n,) give (count, n)."""
        found: Scores = self.mean + self.own * np.sqrt(variances)
        found += heeded(variances, z, self.prior_precision) * self.prior
        return found

    def near(self, z: Numbers, least: Numbers, most: Numbers, choice: Choice) -> Indices:
        """The items of the first draw that may be among the best; all where fewer are eligible than are asked for.

        `least` and `most` bound v / zᵀz. Shapes: both (n,); ascending indices.
        """
        eligible = choice.eligible
        if np.count_nonzero(eligible) <= choice.k:
            return np.arange(eligible.size)
        square = z @ z
        ends = [
            (self.own[0] * np.sqrt(bound * square), self.prior[0] * np.minimum(bound * self.prior_precision, 1.0))
            for bound in (least, most)
        ]
        (own, prior), (own_too, prior_too) = ends
        lowest = self.mean + np.minimum(own, own_too) + np.minimum(prior, prior_too)
        highest = self.mean + np.maximum(own, own_too) + np.maximum(prior, prior_too)
        bars = lowest[eligible]
        bar = np.partition(bars, bars.size - choice.k)[bars.size - choice.k]
        return np.flatnonzero((highest >= bar - _SLACK * np.abs(bar)) & eligible)

    def bounded(self, z: Numbers, near: Indices, variances: Numbers) -> Scores:
        """Exact for some of the items, and nothing for the others. Shapes: variances of `near`; (1, n)."""
        some = Drawn(self.mean[near], self.own[:, near], self.prior[:, near], self.prior_precision)
        found = np.full_like(self.own, -np.inf)
        found[:, near] = some.scores(z, variances)
        return found


def heeded(variances: NDArray[np.floating], z: Numbers, prior_precision: float) -> NDArray[np.floating]:
    """How far each item heeds what is drawn of the shared weights: the prior's share in v, from 0 to 1."""
    return np.minimum(variances * (prior_precision / (z @ z)), 1.0)
