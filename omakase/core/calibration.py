"""Whether people still click as they were predicted to."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from scipy.special import pdtr, pdtrc

from omakase.core.posterior import Statistics
from omakase.core.sessions import Example

# By chance alone, one batch in a million is taken for surprising.
_CHANCE = 1e-6
# Linear predictions are cut at 0, so few may be expected where some come: a handful of clicks surprises nobody.
_LEAST_EXPECTED = 1.0
_RECENT_S = 3600.0
# With 30 clicks the rate that a model has learnt is known to about a fifth: well within any bound worth setting.
_MATURE_WEIGHT = 1000.0
_MATURE_CLICKS = 30.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """New examples with a prediction: how many, how many clicks were predicted as they were served, how many came.

    Units: since in Unix seconds, when the oldest of their slates was issued; infinity where there are none.
    """

    examples: int = 0
    predicted: float = 0.0
    clicks: int = 0
    since: float = math.inf

    @classmethod
    def of(cls, examples: Collection[Example]) -> Calibration:
        """Of one model's examples. Left out are corrections, and slates more than an hour older than the newest, for
        a model of long ago predicted those.
        """
        newest = max((example.at for example in examples), default=math.inf)
        found = [
            (example.at, example.delivery.predicted_click, example.outcomes["click"])
            for example in examples
            if example.before is None and example.outcomes is not None and example.at >= newest - _RECENT_S
        ]
        told = [(at, predicted, click) for at, predicted, click in found if predicted is not None]
        return cls(
            len(told),
            math.fsum(predicted for _, predicted, _ in told),
            sum(click > 0 for *_, click in told),
            min((at for at, *_ in told), default=math.inf),
        )

    def __add__(self, other: Calibration) -> Calibration:
        return Calibration(
            self.examples + other.examples,
            self.predicted + other.predicted,
            self.clicks + other.clicks,
            min(self.since, other.since),
        )

    def is_surprising(self, ratio: float) -> bool:
        """Whether more than `ratio` times as many clicked as predicted, or less than one `ratio`-th, not by chance.

        The test is the one-sided Poisson tail of the clicks observed, given those predicted (at least one), below 1e-6.
        Clicks of unequal chances vary less than Poisson, so it errs towards calling it chance.
        """
        if self.clicks > ratio * self.predicted:
            return float(pdtrc(self.clicks - 1, max(self.predicted, _LEAST_EXPECTED))) < _CHANCE
        if self.clicks < self.predicted / ratio:
            return float(pdtr(self.clicks, self.predicted)) < _CHANCE
        return False

    def __str__(self) -> str:
        return f"{self.clicks} clicks observed, {self.predicted:.1f} predicted, on {self.examples} examples"


UNCALIBRATED = Calibration()


def is_mature(statistics: Statistics) -> bool:
    """Whether predictions by these sums mean something: they hold 1000 examples and 30 clicks, as weighed by age."""
    clicks = statistics.outcomes.get("click")
    return clicks is not None and statistics.weight >= _MATURE_WEIGHT and clicks.energy >= _MATURE_CLICKS
