"""Nothing vanishes: every delivery and every event ends in exactly one named state.

Counts are kept as signed increments (`Tally`), so that a tick's changes commit together with the state they describe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class DeliveryEnd(StrEnum):
    """How a delivery ends."""

    LEARNT = "learnt"
    LEARNT_WITHOUT_CLICK = "learnt_without_click"
    UNSEEN = "unseen"
    EXCLUDED = "excluded"
    NOT_TRAINABLE = "not_trainable"


class EventEnd(StrEnum):
    """How an accepted event ends."""

    USED = "used"
    CORRECTED_LATE = "corrected_late"
    DUPLICATE = "duplicate"
    ORPHAN_EXPIRED = "orphan_expired"
    AFTER_WINDOW = "after_window"
    REJECTED = "rejected"
    EXCLUDED = "excluded"
    UNATTRIBUTED = "unattributed"


SERVED = "served"
RECEIVED = "received"
REDELIVERED = "redelivered"

Tally: TypeAlias = Counter[tuple[str, str]]
DELIVERIES, EVENTS = "deliveries", "events"


@dataclass(frozen=True, slots=True)
class Side:
    """One half of the account. `total` was counted where things come in, `ends` and `open` where they go."""

    total: int
    ends: Mapping[str, int]
    open: int

    @classmethod
    def of(cls, counts: Mapping[str, int], incoming: str, open_count: int, unreadable: int = 0) -> Side:
        """From a trainer's tally. What was redelivered, or could not be read, came in too and ended there."""
        ends = {name: n for name, n in counts.items() if name != incoming and n}
        if unreadable:
            ends[EventEnd.REJECTED] = ends.get(EventEnd.REJECTED, 0) + unreadable
        total = counts.get(incoming, 0) + counts.get(REDELIVERED, 0) + unreadable
        return cls(total, ends, open_count)

    @property
    def is_balanced(self) -> bool:
        return self.total == sum(self.ends.values()) + self.open


@dataclass(frozen=True, slots=True)
class Account:
    """The whole account of a data directory, from counters that do not know of each other.

    recorded: slates' deliveries that tracking took. accepted: events that tracking answered with 202, those included
    that are still parked. unread: messages on their way to the trainer. The two sides are the trainer's.
    """

    recorded: int
    accepted: int
    parked: int
    deliveries: Side
    events: Side
    unread: int = 0

    def faults(self) -> list[str]:
        """Everything that does not balance, in words; empty when all is well.

        What comes in and what was read can only be held against each other when nothing is on its way between them.
        """
        found = []
        if self.unread < 0:
            found.append(f"the trainer has read {-self.unread} messages more than the bus ever carried")
        if not self.unread and self.recorded != self.deliveries.total:
            found.append(f"tracking recorded {self.recorded} deliveries, the trainer read {self.deliveries.total}")
        if not self.unread and self.accepted != self.events.total + self.parked:
            found.append(
                f"tracking accepted {self.accepted} events, the trainer read {self.events.total} "
                f"and {self.parked} wait for their delivery"
            )
        for name, side in ((DELIVERIES, self.deliveries), (EVENTS, self.events)):
            if not side.is_balanced:
                found.append(f"{name}: {side.total} came in, {sum(side.ends.values())} ended, {side.open} are open")
        return found
