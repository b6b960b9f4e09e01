"""What a policy earns, estimated from a log, and how sure that is.

Clicks are rare (0.1 to 5 %) and importance weights have heavy tails, so a sum of 50 weighted clicks is not normal: a
symmetric interval is too low and, at no click at all, has no width. Rates therefore get Wilson's interval, weighted
sums the gamma interval of weighted Poisson counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv, stdtrit

from omakase.core.errors import InvalidInput

Vector: TypeAlias = NDArray[np.float64]

ALPHA = 0.05
Z = 1.959963984540054
"""The 97.5 % point of the normal distribution: every interval here is a 95 % one."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its 95 % interval.

    n: the units it rests on (people, or logged rows). effective_n: how many equally weighted, independent ones would
    tell as much. `high` may be infinite where the data cannot bound it.
    """

    value: float
    low: float
    high: float
    n: int
    effective_n: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and math.isfinite(self.low) and self.low <= self.value <= self.high):
            raise InvalidInput(f"an estimate needs low <= value <= high, not {self.low}, {self.value}, {self.high}")

    def overlaps(self, other: Estimate) -> bool:
        """Whether the two intervals share a point."""
        return self.low <= other.high and other.low <= self.high


def clustered_rate(clicks_per_unit: ArrayLike, impressions_per_unit: ArrayLike) -> Estimate:
    """Clicks per impression, where one person's impressions are not independent: the unit is the person.

    The variance of the ratio of sums is linearised over units; its proportion to the binomial variance (the design
    effect) turns the impressions into effective ones, on which Wilson's interval is taken, so that rare clicks and
    no clicks still get an honest interval. Without impressions nothing is known: 0, between 0 and 1.

    Shapes: both (units,). Units: `n` counts people with an impression, `effective_n` impressions.
    Raises: InvalidInput for negative or non-finite counts, or more clicks than impressions in a unit.
    Guarantees: over people who differ much (beta-binomial, 300 of them, rates from 1 %) it covers in 95 % of cases.
    Source: Wilson, JASA 1927; Kish, "Survey Sampling", 1965, sections 2.6 and 8.2; the combination as in Korn &
    Graubard, Survey Methodology 1998, with Wilson's interval in place of the exact one and Satterthwaite's degrees of
    freedom in place of the survey's.
    """
    clicks, impressions = _column(clicks_per_unit, "clicks"), _column(impressions_per_unit, "impressions")
    if clicks.size != impressions.size or np.any(clicks > impressions):
        raise InvalidInput("clicks and impressions must be as long as each other, and clicks no more than impressions")
    total = float(impressions.sum())
    units = int(np.count_nonzero(impressions))
    if total == 0:
        return Estimate(0.0, 0.0, 1.0, 0, 0.0)
    rate = float(clicks.sum()) / total
    effective = total / _design_effect(clicks, impressions, rate, units)
    centre = (rate + Z**2 / (2 * effective)) / (1 + Z**2 / effective)
    half = Z / (1 + Z**2 / effective) * math.sqrt(rate * (1 - rate) / effective + Z**2 / (4 * effective**2))
    return Estimate(rate, max(0.0, min(centre - half, rate)), min(1.0, max(centre + half, rate)), units, effective)


def lift(treatment: Estimate, control: Estimate) -> Estimate | None:
    """treatment / control - 1, from two independent rates; None while the control is 0 and the ratio has no meaning.

    The interval recovers the variances from the two intervals it is given, so their skewness survives the division;
    on symmetric intervals it is Fieller's. It excludes 0 about when the treatment really differs.

    Source: Donner & Zou, "Closed-form confidence intervals for functions of the normal mean and standard deviation",
    Statistical Methods in Medical Research 2012 (MOVER-R), the lower limit in the form without cancellation.
    """
    if control.value <= 0 or treatment.low < 0:
        return None
    product = treatment.value * control.value
    below = treatment.low * (2 * treatment.value - treatment.low)
    above = treatment.high * (2 * treatment.value - treatment.high)
    root = math.sqrt(max(product**2 - below * control.high * (2 * control.value - control.high), 0.0))
    low = below / (product + root) if product > 0 else 0.0
    floor = control.low * (2 * control.value - control.low)
    high = (product + math.sqrt(max(product**2 - above * floor, 0.0))) / floor if floor > 0 else math.inf
    ratio = treatment.value / control.value
    effective = _harmonic(treatment.effective_n, control.effective_n)
    return Estimate(ratio - 1, min(low, ratio) - 1, max(high, ratio) - 1, treatment.n + control.n, effective)


def ips(rewards: ArrayLike, weights: ArrayLike) -> Estimate:
    """What a policy would have earned per row: Σ w·r / n, with w = π_e(a|x) / p_logged(a|x).

    Where π_e is unknown but the policy can be asked, w = 1[it chose the logged action] / p_logged is as unbiased,
    also while the policy learns from its matches: the indicator is one draw from π_e given everything before it.

    Shapes: both (n,). Units: rewards not negative, a click is 1. Raises: InvalidInput.
    Guarantees: at a CTR of 0.5 %, n = 10,000 and log-normal, softmax or matching weights the interval covers the
    truth in at least 93 % of logs (tests/unit/core/test_evaluation.py); it errs on the wide side as tails grow.
    Source: Horvitz & Thompson, JASA 1952; Li et al., "Unbiased Offline Evaluation of Contextual-bandit-based News
    Article Recommendation Algorithms", WSDM 2011, who replay with constant p. The interval: `_gamma_interval`.
    """
    r, w = _log(rewards, weights)
    total = float(w @ r)
    spread = float((w * r) @ (w * r)) - total**2 / max(r.size, 1)
    return _gamma_interval(r, w, total, max(spread, 0.0), float(r.size))


def snips(rewards: ArrayLike, weights: ArrayLike) -> Estimate:
    """Self-normalised: Σ w·r / Σ w. Slightly biased, but immune to a constant error in p, and steadier.

    Shapes, units, errors and guarantees: as `ips`. The spread is that of the linearised ratio, Σ w²(r - value)².
    Source: Swaminathan & Joachims, "The Self-Normalized Estimator for Counterfactual Learning", NIPS 2015, section 4.
    """
    r, w = _log(rewards, weights)
    total, size = float(w @ r), float(w.sum())
    residual = w * (r - (total / size if size > 0 else 0.0))
    return _gamma_interval(r, w, total, float(residual @ residual), size)


def is_too_close_to_rank(estimates: Sequence[Estimate], margin: float = 0.1) -> bool:
    """Whether there were too few clicks to rank these policies.

    The rule: two policies are ranked if their intervals are apart; they are equal for practical purposes if the
    intervals overlap and together reach from low to low·(1 + margin) or less. Clicks are too few if any pair is
    neither. More clicks end this either way; policies that really are equal do not keep the answer open for ever.
    """
    pairs = combinations(estimates, 2)
    return any(a.overlaps(b) and max(a.high, b.high) > (1 + margin) * min(a.low, b.low) for a, b in pairs)


def _gamma_interval(r: Vector, w: Vector, total: float, spread: float, size: float) -> Estimate:
    """The interval of total / size, where total is a weighted sum of rare counts with variance `spread`.

    A gamma distribution with the sum's mean and variance gives the lower limit. For the upper one, the sum is as if
    one more reward had been seen. Its weight matters where tails are heavy: the largest (Fay & Feuer) is far too wide
    and the mean (Tiwari) too narrow, covering 76 to 93 % on logged propensities. We give it the size-biased mean weight
    Σw² / Σw, the row where an average part of the value comes from: 94.5 % or more in all that was tried, hardly
    wider. With equal weights and few rewards it is the exact Poisson interval.

    Source: Fay & Feuer, "Confidence intervals for directly standardized rates", Statistics in Medicine 1997; Tiwari,
    Clegg & Zou, "Efficient interval estimation for age-adjusted cancer rates", SMMR 2006.
    """
    weight, squares = float(w.sum()), float(w @ w)
    if weight == 0:
        return Estimate(0.0, 0.0, math.inf, r.size, 0.0)
    unseen = squares / weight * (float(r @ r) / float(r.sum()) if r.any() else 1.0)
    value = total / size
    low = _gamma_quantile(total, spread, ALPHA / 2) / size
    high = _gamma_quantile(total + unseen, spread + unseen**2, 1 - ALPHA / 2) / size
    return Estimate(value, min(low, value), max(high, value), r.size, weight**2 / squares)


def _gamma_quantile(mean: float, variance: float, q: float) -> float:
    if mean <= 0 or variance <= 0:
        return mean
    return variance / mean * float(gammaincinv(mean**2 / variance, q))


def _log(rewards: ArrayLike, weights: ArrayLike) -> tuple[Vector, Vector]:
    r, w = _column(rewards, "rewards"), _column(weights, "weights")
    if r.size != w.size:
        raise InvalidInput(f"{r.size} rewards and {w.size} weights: every row needs both")
    return r, w


def _design_effect(clicks: Vector, impressions: Vector, rate: float, units: int) -> float:
    """Variance over units ÷ binomial variance, at least 1: chance agreement between few units must not narrow.

    Where few units carry the variance it is itself uncertain, and an interval that trusts it covers 93 % only:
    Student's t takes the normal's place, with 2(Σe²)² / Σe⁴ degrees of freedom (Satterthwaite, Biometrics 1946).
    """
    binomial = rate * (1 - rate) * float(impressions.sum())
    if units < 2 or binomial == 0:
        return 1.0
    squares = (clicks - rate * impressions) ** 2
    effect = float(squares.sum()) * units / (units - 1) / binomial
    if effect <= 1:
        return 1.0
    freedom = 2 * float(squares.sum()) ** 2 / float(squares @ squares)
    return effect * (float(stdtrit(freedom, 1 - ALPHA / 2)) / Z) ** 2


def _harmonic(a: float, b: float) -> float:
    return a * b / (a + b) if a > 0 and b > 0 else 0.0


def _column(values: ArrayLike, name: str) -> Vector:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1 or not np.all(np.isfinite(column)) or np.any(column < 0):
        raise InvalidInput(f"{name} must be one row of finite numbers that are not negative")
    return column
