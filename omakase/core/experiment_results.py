"""What the arms of an experiment earned, and how they differ. The person is the unit, not the impression.

One person's impressions are alike, so that impressions counted as independent make intervals too narrow and an A/A test
significant several times as often as it should be. People are what was dealt to arms, and people are independent.

Three metrics: CTR, clicks per impression, a ratio of sums over people whose variance is the delta method's (Deng,
Knoblich & Lu, "Applying the Delta Method in Metric Analytics", KDD 2018); CVR, the share of people who converted; value
per person. The last two divide by all people who were dealt to the arm, which no arm can change. Conversions per click
are not among them: an arm that wins more clicks from those who buy less lowers them, and loses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.core.evaluation import ALPHA, Estimate, Z, clustered_rate, ips, lift

Vector: TypeAlias = NDArray[np.float64]
Metric: TypeAlias = Literal["ctr", "cvr", "value"]
METRICS: tuple[Metric, ...] = get_args(Metric)

# Of the control's mean: the size of difference that always valid intervals are made to tell soonest.
_PRIOR_EFFECT = 0.1


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What the people of one arm did, a row each. Shapes: all (n,). Units: value is money, returns taken off.

    Raises: InvalidInput if the columns differ in length, or a number is not finite.
    """

    impressions: Vector
    clicks: Vector
    conversions: Vector
    value: Vector

    def __post_init__(self) -> None:
        columns = (self.impressions, self.clicks, self.conversions, self.value)
        if len({column.shape for column in columns}) > 1 or self.value.ndim != 1:
            raise InvalidInput("impressions, clicks, conversions and value must be as long as each other")
        if not all(np.isfinite(column).all() for column in columns):
            raise InvalidInput("what people did must be finite")


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm: totals, and each metric with its 95 % interval at this one look."""

    people: int
    impressions: int
    clicks: int
    converted: int
    value: float
    metrics: Mapping[Metric, Estimate]

    @classmethod
    def of(cls, outcomes: Outcomes) -> ArmResult:
        people = outcomes.value.size
        converted = outcomes.conversions > 0
        return cls(
            people=people,
            impressions=int(outcomes.impressions.sum()),
            clicks=int(outcomes.clicks.sum()),
            converted=int(converted.sum()),
            value=float(outcomes.value.sum()),
            metrics={
                "ctr": clustered_rate(outcomes.clicks, outcomes.impressions),
                "cvr": clustered_rate(converted, np.ones(people)),
                "value": mean_value(outcomes.value),
            },
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """Treatment less control, and that by the control; None while too little is known for a number."""

    absolute: Estimate | None
    relative: Estimate | None

    @property
    def is_significant(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.absolute is not None and not self.absolute.low <= 0.0 <= self.absolute.high


def mean_value(value: Vector) -> Estimate:
    """Value per person. Not winsorised: the mean is what was earned, and what a few large orders make of it shows in
    its interval.

    Few people buy, and orders are skewed: a symmetric interval ends too low (it covers 86 to 93 % of means where this
    one covers 92 to 95 %, at 3 % buyers with log-normal orders, 500 to 10,000 people). So this is the gamma interval of
    `ips`, all weights 1. Below 0, where people returned more than they bought, it is the normal one. While nobody has
    bought anything there is no upper limit.
    """
    n = value.size
    if n == 0 or not value.any():
        return Estimate(0.0, 0.0, math.inf, n, float(n))
    if value.min() >= 0.0:
        return ips(value, np.ones(n))
    mean, half = float(value.mean()), Z * float(value.std(ddof=1 if n > 1 else 0)) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n, float(n))


def compare(treatment: Estimate, control: Estimate, *, is_always_valid: bool = False) -> Difference:
    """How two arms differ in one metric, from independent people.

    The interval of the difference recovers the variances of both from their intervals, so that their skewness survives;
    with symmetric ones it is the delta method's. With `is_always_valid` both intervals hold at every look together.

    Source: Zou & Donner, "Construction of confidence limits about effect measures: A general approach", Statistics in
    Medicine 2008 (MOVER); the relative one is `lift`.
    """
    if not all(math.isfinite(end) for end in (treatment.high, control.high)):
        return Difference(None, None)
    value = treatment.value - control.value
    below = math.hypot(treatment.value - treatment.low, control.high - control.value)
    above = math.hypot(treatment.high - treatment.value, control.value - control.low)
    n, effective = treatment.n + control.n, min(treatment.effective_n, control.effective_n)
    difference = Difference(Estimate(value, value - below, value + above, n, effective), lift(treatment, control))
    if not is_always_valid:
        return difference
    error = (below + above) / (2 * Z)
    widening = _always_valid_z(error, _PRIOR_EFFECT * abs(control.value)) / Z
    return Difference(*(_widened(one, widening) for one in (difference.absolute, difference.relative)))


def _widened(estimate: Estimate | None, widening: float) -> Estimate | None:
    if estimate is None or math.isinf(widening):
        return None
    low = estimate.value - widening * (estimate.value - estimate.low)
    return replace(estimate, low=low, high=estimate.value + widening * (estimate.high - estimate.value))


def _always_valid_z(error: float, prior: float) -> float:
    """What takes the place of 1.96, so that an interval of a standard error leaves the truth out at no look at all in
    95 % of experiments, however often and whenever one looks.

    Estimates at successive looks go as a Brownian motion does in information, 1/error²: people come, and come again.
    With a normal mixture of scale `prior` over the truth, Robbins' boundary is, in standard errors, the root of
    (1 + e²) · ln((1 + 1/e²) / α²), where e = error / prior. It is 3.0 at best, where error = prior / 2.8, and grows
    slowly on both sides; any prior is valid.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic confidence
    sequences", Annals of Statistics 2024, equation for the mixture; as mSPRT in Johari, Koomen, Pekelis & Walsh,
    "Peeking at A/B Tests", KDD 2017. We count information in place of people, and our prior is a tenth of the control's
    mean as it is estimated.
    """
    if prior == 0.0 or not 1e-9 < error / prior < 1e9:
        return math.inf
    e = (error / prior) ** 2
    return math.sqrt((1.0 + e) * math.log((1.0 + 1.0 / e) / ALPHA**2))
