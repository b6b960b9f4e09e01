"""Belief of a linear policy, kept as sums that add.

A batch of examples is summarised by its sufficient statistics, so batches merge in any order, on any worker, and a
late reward is a correction instead of a loss. The prior is applied when the belief is *used*, never stored.

Source: Agrawal & Goyal, "Thompson Sampling for Contextual Bandits with Linear Payoffs", ICML 2013, Algorithm 1.
Their B is `precision` plus the prior, their f is `moment`; their v is `scale` times `noise`, which we estimate from the
residuals instead of fixing it: a scale of 1 explores for ever at click rates of a few per cent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dtrtri, dtrtrs

from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.item_statistics import NO_ITEMS, ItemStatistics
from omakase.core.rows import Rows

Vector: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = NDArray[np.float64]

# Before there is data the noise of one outcome is taken to be that of a click rate of about 5 %.
_PRIOR_NOISE_VARIANCE = 0.05
_PRIOR_NOISE_EXAMPLES = 20.0

# Sums of real examples are positive semidefinite up to rounding: this share of the mean diagonal is allowed for it.
_ROUNDING = 1e-9


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

    Forgetting is by half-life: an example of time t weighs w·2^((t - as_of) / half_life_s), and sums of different times
    are brought to the later one when they are added. It shrinks the data, never the prior.
    Shapes: precision is (d, d), Σ w·x·xᵀ. Units: weight is Σ w, an effective number of examples; examples counts them;
    as_of in Unix seconds; half_life_s in seconds, infinite where nothing is forgotten.

    `is_logit`: of a logistic model, in log odds (see `omakase.core.logistic`). Its batches carry their `rows`: the sums
    beside those say nothing of the moments until they are absorbed, in order. Added, they follow each other.
    `items`: of a per-item model, the sums apart by item as well.
    """

    precision: Matrix
    outcomes: Mapping[str, Outcome]
    weight: float
    examples: int
    as_of: float = 0.0
    half_life_s: float = math.inf
    rows: Rows | None = None
    is_logit: bool = False
    items: ItemStatistics = NO_ITEMS

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

    @classmethod
    def retraction(cls, x: Vector, w: float, learnt: Mapping[str, float]) -> Statistics:
        """What to add so that an example already counted was never learnt. Shapes: x (d,). Raises: InvalidInput."""
        _refuse_unless_finite(x, np.array([w, *learnt.values()]))
        sums = {name: Outcome(-w * y * x, -w * y**2) for name, y in learnt.items()}
        return cls(-w * np.outer(x, x), sums, -w, -1)

    @property
    def dimensions(self) -> int:
        return int(self.precision.shape[0])

    def aged(self, as_of: float) -> Statistics:
        """The same examples as they weigh at a later time. Units: as_of in Unix seconds."""
        factor = 2.0 ** (-(as_of - self.as_of) / self.half_life_s)
        if factor == 1.0:
            return replace(self, as_of=as_of)
        outcomes = {name: Outcome(factor * o.moment, factor * o.energy) for name, o in self.outcomes.items()}
        return replace(
            self,
            precision=factor * self.precision,
            outcomes=outcomes,
            weight=factor * self.weight,
            as_of=as_of,
            items=self.items.aged(factor),
        )

    def check(self) -> None:
        """Raises: Corrupt if these are not the sums of real examples, up to rounding."""
        if self.rows is not None:
            raise Corrupt("examples stand beside the sums that were never absorbed")
        numbers = [self.precision, *(outcome.moment for outcome in self.outcomes.values())]
        energies = [outcome.energy for outcome in self.outcomes.values()]
        if not (all(np.isfinite(array).all() for array in numbers) and np.isfinite([self.weight, *energies]).all()):
            raise Corrupt("sums must be finite")
        least = -_ROUNDING * max(self.weight, 1.0)
        if self.weight < least or any(energy < least for energy in energies):
            raise Corrupt("weights and squares cannot sum to less than nothing")
        self.items.check()
        factor_of(self, _ROUNDING * max(float(np.trace(self.precision)) / max(self.dimensions, 1), 1.0))

    def __add__(self, other: Statistics) -> Statistics:
        """Merge; where half-lives differ, that of the later sums holds from then on. Raises: InvalidInput.

        Guarantees: commutative, and associative up to rounding where half-lives agree; `empty` is neutral.
        """
        if self.dimensions != other.dimensions:
            raise InvalidInput(f"cannot add statistics of {other.dimensions} to {self.dimensions} dimensions")
        later = max(self, other, key=lambda one: (one.as_of, -one.half_life_s))
        mine, theirs = self.aged(later.as_of), other.aged(later.as_of)
        none = Outcome(np.zeros(self.dimensions), 0.0)
        pairs = {
            name: (mine.outcomes.get(name, none), theirs.outcomes.get(name, none))
            for name in mine.outcomes.keys() | theirs.outcomes.keys()
        }
        return Statistics(
            mine.precision + theirs.precision,
            {name: Outcome(a.moment + b.moment, a.energy + b.energy) for name, (a, b) in pairs.items()},
            mine.weight + theirs.weight,
            mine.examples + theirs.examples,
            later.as_of,
            later.half_life_s,
            rows=_both(self.rows, other.rows),
            is_logit=self.is_logit or other.is_logit,
            items=mine.items + theirs.items,
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
    def of(
        cls, statistics: Statistics, outcome: str, prior_precision: float | Vector, factor: Matrix | None = None
    ) -> Posterior:
        """Apply the prior N(0, noise²/prior_precision). Cost: O(d³), or O(d²) where the `factor` is known already.

        The noise is the residual standard deviation, with a weak prior so that a model without clicks still explores.
        Raises: Corrupt if the sums are not those of real examples.
        """
        d = statistics.dimensions
        sums = statistics.outcomes.get(outcome) or Outcome(np.zeros(d), 0.0)
        # What was taken back leaves a rounding error behind, perhaps below zero.
        if not (np.isfinite(sums.moment).all() and np.isfinite(sums.energy) and -1e-3 <= statistics.weight < np.inf):
            raise Corrupt(f"the sums of outcome {outcome!r} are not those of real examples")
        if factor is None:
            factor = factor_of(statistics, prior_precision)
        half, _ = dtrtrs(factor, sums.moment, lower=1)
        mean, _ = dtrtrs(factor, half, lower=1, trans=1)
        if not np.isfinite(mean).all():
            raise Corrupt(f"the mean of outcome {outcome!r} is not finite")
        residual = max(sums.energy - float(half @ half), 0.0) + _PRIOR_NOISE_EXAMPLES * _PRIOR_NOISE_VARIANCE
        return cls(mean, factor, float(np.sqrt(residual / (max(statistics.weight, 0.0) + _PRIOR_NOISE_EXAMPLES))))

    def deviation_map(self) -> Matrix:
        """noise · L⁻ᵀ: turns standard normal z (d,) into deviations from the mean. Cost: O(d³), once per update."""
        inverse, _ = dtrtri(self.factor, lower=1)
        deviations: Matrix = self.noise * inverse.T
        return deviations


def factor_of(statistics: Statistics, prior_precision: float | Vector) -> Matrix:
    """The lower triangular L with L·Lᵀ = precision + prior. Cost: O(d³). Raises: Corrupt.

    Shapes: (d, d); the prior's precision is one number, or (d,) by coordinate.
    """
    precise = np.array(statistics.precision, order="F")
    if not np.isfinite(precise).all():
        raise Corrupt("precision is not finite")
    precise.ravel(order="K")[:: statistics.dimensions + 1] += prior_precision
    factor, fault = dpotrf(precise, lower=1, clean=1, overwrite_a=1)
    if fault:
        raise Corrupt(f"precision is not positive definite: the leading minor of order {fault} is not")
    found: Matrix = factor
    return found


def _both(mine: Rows | None, theirs: Rows | None) -> Rows | None:
    if mine is None or theirs is None:
        return theirs if mine is None else mine
    return mine + theirs


def _refuse_unless_finite(*numbers: NDArray[np.floating]) -> None:
    if not all(np.isfinite(array).all() for array in numbers):
        raise InvalidInput("an example holds a number that is not finite")
