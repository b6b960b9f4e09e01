"""Belief of a linear policy, kept as sums that add.

A batch of examples is summarised by its sufficient statistics, so batches merge in any order, on any worker, and a
late reward is a correction instead of a loss. The prior is applied when the belief is *used*, never stored.

Source: Agrawal & Goyal, "Thompson Sampling for Contextual Bandits with Linear Payoffs", ICML 2013, Algorithm 1.
Their B is `precision` plus the prior, their f is `moment`; their v is `scale` times `noise`, which we estimate from the
residuals instead of fixing it: a scale of 1 explores for ever at click rates of a few per cent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from omakase.core.errors import Corrupt, InvalidInput

Vector: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = NDArray[np.float64]

# Before there is data the noise of one outcome is taken to be that of a click rate of about 5 %.
_PRIOR_NOISE_VARIANCE = 0.05
_PRIOR_NOISE_EXAMPLES = 20.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Sums that belong to one outcome y, such as click or reward.

    Shapes: moment is (d,), Σ w·y·x. Units: moment in y, energy (Σ w·y²) in y².
    """

    moment: Vector
    energy: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """Sums over weighted examples (x, y…): all a linear belief needs to know of them.

    Shapes: precision is (d, d), Σ w·x·xᵀ. Units: weight is Σ w, an effective number of examples; examples counts them.
    """

    precision: Matrix
    outcomes: Mapping[str, Outcome]
    weight: float
    examples: int

    @classmethod
    def empty(cls, d: int) -> Statistics:
        return cls(np.zeros((d, d)), {}, 0.0, 0)

    @classmethod
    def of(cls, x: Matrix, outcomes: Mapping[str, Vector], w: Vector) -> Statistics:
        """Summarise a batch. Shapes: x (n, d), each outcome (n,), w (n,). Cost: O(n d²), one matrix product.

        Raises: InvalidInput if anything is not finite: bad numbers are refused, never absorbed.
        """
        _refuse_unless_finite(x, w, *outcomes.values())
        xw = x * w[:, None]
        sums = {name: Outcome(xw.T @ y, float(w @ (y * y))) for name, y in outcomes.items()}
        return cls(xw.T @ x, sums, float(w.sum()), len(w))

    @classmethod
    def correction(cls, x: Vector, w: float, learnt: Mapping[str, float], observed: Mapping[str, float]) -> Statistics:
        """What to add so that an example already counted has the outcomes now `observed`: its x stays counted once.

        Shapes: x (d,). Raises: InvalidInput if anything is not finite.
        """
        _refuse_unless_finite(x, np.array([w, *learnt.values(), *observed.values()]))
        sums = {}
        for name in learnt.keys() | observed.keys():
            before, after = learnt.get(name, 0.0), observed.get(name, 0.0)
            sums[name] = Outcome(w * (after - before) * x, w * (after**2 - before**2))
        return cls(np.zeros((x.size, x.size)), sums, 0.0, 0)

    @property
    def dimensions(self) -> int:
        return int(self.precision.shape[0])

    def __add__(self, other: Statistics) -> Statistics:
        """Merge. Guarantees: commutative and associative up to rounding; `empty` is neutral. Raises: InvalidInput."""
        if self.dimensions != other.dimensions:
            raise InvalidInput(f"cannot add statistics of {other.dimensions} to {self.dimensions} dimensions")
        none = Outcome(np.zeros(self.dimensions), 0.0)
        pairs = {
            name: (self.outcomes.get(name, none), other.outcomes.get(name, none))
            for name in self.outcomes.keys() | other.outcomes.keys()
        }
        return Statistics(
            self.precision + other.precision,
            {name: Outcome(a.moment + b.moment, a.energy + b.energy) for name, (a, b) in pairs.items()},
            self.weight + other.weight,
            self.examples + other.examples,
        )


@dataclass(frozen=True, slots=True)
class Posterior:
    """N(mean, noise²·(L·Lᵀ)⁻¹) of one outcome, factored once per update and read by every request.

    Shapes: mean (d,); factor (d, d) is L, lower triangular. Units: mean and noise in those of the outcome.
    """

    mean: Vector
    factor: Matrix
    noise: float

    @classmethod
    def of(cls, statistics: Statistics, outcome: str, prior_precision: float) -> Posterior:
        """Apply the prior N(0, noise²/prior_precision) and factor. Cost: O(d³).

        The noise is the residual standard deviation, with a weak prior so that a model without clicks still explores.
        Raises: Corrupt if the sums are not those of real examples.
        """
        d = statistics.dimensions
        sums = statistics.outcomes.get(outcome) or Outcome(np.zeros(d), 0.0)
        if not (np.isfinite(sums.moment).all() and np.isfinite(sums.energy) and 0 <= statistics.weight < np.inf):
            raise Corrupt(f"the sums of outcome {outcome!r} are not those of real examples")
        try:
            factor = cholesky(statistics.precision + prior_precision * np.eye(d), lower=True)
        except (LinAlgError, ValueError) as error:
            raise Corrupt(f"precision is not positive definite and finite: {error}") from error
        half = solve_triangular(factor, sums.moment, lower=True)
        mean = solve_triangular(factor, half, lower=True, trans="T")
        if not np.isfinite(mean).all():
            raise Corrupt(f"the mean of outcome {outcome!r} is not finite")
        residual = max(sums.energy - float(half @ half), 0.0) + _PRIOR_NOISE_EXAMPLES * _PRIOR_NOISE_VARIANCE
        return cls(mean, factor, float(np.sqrt(residual / (statistics.weight + _PRIOR_NOISE_EXAMPLES))))

    def deviation_map(self) -> Matrix:
        """noise · L⁻ᵀ: turns standard normal z (d,) into deviations from the mean. Cost: O(d³), once per update."""
        return self.noise * solve_triangular(self.factor, np.eye(self.mean.size), lower=True, trans="T")


def _refuse_unless_finite(*numbers: NDArray[np.floating]) -> None:
    if not all(np.isfinite(array).all() for array in numbers):
        raise InvalidInput("an example holds a number that is not finite")
