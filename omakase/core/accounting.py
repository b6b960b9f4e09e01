"""Nothing vanishes: every delivery and every event ends in exactly one named state.

Counts are kept as signed increments (`Tally`), so that a tick's changes commit together with the state they describe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
    DISCARDED = "discarded"
    REJECTED = "rejected"
    LOST = "lost"


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
    LOST = "lost"


SERVED = "served"
RECEIVED = "received"
REDELIVERED = "redelivered"

Tally: TypeAlias = Counter[tuple[str, str]]
DELIVERIES, EVENTS = "deliveries", "events"

# Why a message of the bus could not be used.
UNDECODABLE = "undecodable"  # its bytes are no slate and no event that could have been accepted
FEATURES = "features"  # its features are not of the width that its model has

# Clocks are set right by seconds; a minute is the default of how long the late are waited for.
CLOCK_TOLERANCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Side:
    """One half of the account. `total` was counted where things come in, `ends` and `open` where they go."""

    total: int
    ends: Mapping[str, int]
    open: int

    @classmethod
    def of(cls, counts: Mapping[str, int], incoming: str, open_count: int, dead: int = 0) -> Side:
        """From a trainer's tally. What was redelivered, or is in dead letters, came in too and ended there."""
        ends = {name: n for name, n in counts.items() if name != incoming and n}
        if dead:
            ends[EventEnd.REJECTED] = ends.get(EventEnd.REJECTED, 0) + dead
        total = counts.get(incoming, 0) + counts.get(REDELIVERED, 0) + dead
        return cls(total, ends, open_count)

    @property
    def is_balanced(self) -> bool:
        return self.total == sum(self.ends.values()) + self.open


@dataclass(frozen=True, slots=True)
class DeadCount:
    """How many deliveries or events ended in dead letters for one reason: kept ones, and dropped ones."""

    kind: str
    reason: str
    kept: int
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the warehouse holds, counted by itself, each thing once. `learnt` are deliveries with an example.

    unloaded: messages on their way to it. is_whole: False once hours were dropped for their age, for what is left
    cannot be held against all that ever came in.
    """

    deliveries: int
    events: int
    learnt: int
    unloaded: int = 0
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Account:
    """The whole account of a data directory, from counters that do not know of each other.

    recorded: slates' deliveries that tracking took. accepted: events that tracking answered with 202, those included
    that are still parked, orders that wait to be attributed among them. unread: messages on their way to the trainer.
    The two sides are the trainer's. refused: delivery records that tracking would not take. damaged: segments of a
    spool that cannot be read to their end.
    Units: clock_ahead_s in seconds: how far ahead of the clock the trainer has closed sessions.
    """

    recorded: int
    accepted: int
    parked: int
    deliveries: Side
    events: Side
    unread: int = 0
    dead: Sequence[DeadCount] = ()
    loaded: Loaded | None = None
    refused: int = 0
    damaged: int = 0
    clock_ahead_s: float = 0.0

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
        if self.loaded is not None and self.loaded.is_whole:
            found += self._faults_of_warehouse(self.loaded)
        if self.refused:
            found.append(f"tracking refused {self.refused} delivery records: see `omakase events dead-letters list`")
        if self.damaged:
            found.append(f"{self.damaged} segments of a spool are damaged: the ends of spool/*/*.damaged never came in")
        if self.clock_ahead_s > CLOCK_TOLERANCE_S:
            found.append(clock_fault(self.clock_ahead_s))
        return found

    def _faults_of_warehouse(self, loaded: Loaded) -> Iterator[str]:
        """Only where nothing is on its way; examples only where no session is open that may become one meanwhile."""
        if loaded.unloaded < 0:
            yield f"the warehouse has {-loaded.unloaded} messages more than the bus ever carried"
        if loaded.unloaded or self.unread:
            return
        passed_on = {DELIVERIES: self.recorded, EVENTS: self.accepted - self.parked}
        for kind, held in ((DELIVERIES, loaded.deliveries), (EVENTS, loaded.events)):
            lost = sum(c.kept + c.dropped for c in self.dead if (c.kind, c.reason) == (kind, UNDECODABLE))
            if held != passed_on[kind] - lost:
                came = f"tracking passed on {passed_on[kind]} {kind}, {lost} of them undecodable"
                yield f"{came}, the warehouse holds {held}"
        ends = self.deliveries.ends
        learnt = ends.get(DeliveryEnd.LEARNT, 0) + ends.get(DeliveryEnd.LEARNT_WITHOUT_CLICK, 0)
        if not self.events.open and not ends.get(DeliveryEnd.LOST) and loaded.learnt != learnt:
            yield f"the trainer learnt from {learnt} deliveries, the warehouse has examples of {loaded.learnt}"


def clock_fault(ahead_s: float) -> str:
    """What it means that sessions were closed as of a time that is `ahead_s` seconds from now."""
    return (
        f"the trainer has closed sessions as of {ahead_s:.0f} s from now: the clock was ahead. Until it gets there, "
        "deliveries may be given up too early, as unseen, and their events end as after_window"
    )
