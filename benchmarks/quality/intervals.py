"""How sure a ratio of mean regrets is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 10_000
_TAILS = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of means with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Ratio:
        """Mean of `ours` over mean of `theirs`; both played the same seeds. Shapes: (seeds,).

        The interval is the percentile bootstrap over seeds, pairs kept together. Guarantees: deterministic.
        """
        picks = np.random.default_rng(1).integers(len(ours), size=(_RESAMPLES, len(ours)))
        low, high = np.percentile(ours[picks].mean(axis=1) / theirs[picks].mean(axis=1), _TAILS)
        return cls(float(ours.mean() / theirs.mean()), float(low), float(high))

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"
