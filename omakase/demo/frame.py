"""Everything the demo knows at one moment: what the view draws and the summary tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from omakase.core.accounting import Account
from omakase.core.evaluation import Estimate, lift
from omakase.demo.freshness import Freshness, generation_of
from omakase.demo.product import TREATMENT
from omakase.demo.progress import Progress, Served
from omakase.demo.scoreboard import Score

Phase: TypeAlias = Literal["starting", "shopping", "draining", "done"]


@dataclass(frozen=True, slots=True)
class Frame:
    """control, treatment and recent come from what the service recorded; uniform_ctr and best_ctr are the hidden truth.

    `recent` is the treatment over the last RECENT_S. Units: rates as shares, left_s in seconds.
    """

    seed: int
    phase: Phase
    left_s: float
    uniform_ctr: float
    best_ctr: float
    control: Score
    treatment: Score
    recent: Score
    progress: Progress
    account: Account
    freshness: Freshness | None = None

    @property
    def lift(self) -> Estimate | None:
        return lift(self.treatment.ctr, self.control.ctr)

    @property
    def is_apart(self) -> bool:
        """Whether the treatment's interval lies wholly above the control's."""
        return self.treatment.ctr.low > self.control.ctr.high

    @property
    def gain_reached(self) -> float:
        """How far the treatment's slates have come from chance to the best possible, by the hidden truth."""
        served = self.progress.served.get(TREATMENT, Served())
        if not served.deliveries:
            return 0.0
        return (served.expected_ctr - self.uniform_ctr) / (self.best_ctr - self.uniform_ctr)

    @property
    def model_version(self) -> str:
        """The newest model seen in an answer; empty before the first."""
        return max(self.progress.first_seen, key=generation_of, default="")

    @property
    def models_seen(self) -> int:
        """How many different generations answered."""
        return sum(generation_of(version) > 0 for version in self.progress.first_seen)
