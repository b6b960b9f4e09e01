"""Click rates by variant, from what the service recorded: never from what the simulation knows.

The unit is the person: one person's clicks are not independent, so intervals are taken over people.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np

from omakase.core.evaluation import Estimate, clustered_rate
from omakase.core.events import CLICK, Event
from omakase.ports.event_bus import EventLog
from omakase.wire import decode_bus_event

RECENT_S = 30.0
_PAGE = 5000
_CONSUMER = "demo"
_EVERYTHING = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Score:
    """One variant's click rate. `people` had at least one impression."""

    ctr: Estimate
    people: int
    impressions: int
    clicks: int


@dataclass(slots=True)
class _Column:
    """One variant's first impressions or first clicks, as parallel arrays: twelve bytes each."""

    at: array[float] = field(default_factory=lambda: array("d"))
    person: array[int] = field(default_factory=lambda: array("i"))

    def append(self, at: float, person: int) -> None:
        self.at.append(at)
        self.person.append(person)

    def per_person(self, people: int, since: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Shapes: (people,)."""
        recent = np.array(self.person, dtype=np.intp)[np.array(self.at) >= since]
        return np.bincount(recent, minlength=people)


@dataclass(slots=True)
class Scoreboard:
    """First impressions and first clicks of every delivery, by variant and person.

    A click implies its impression, so a lost beacon does not make a rate above 1. Events whose delivery never came,
    and those of people who do not want to be measured, belong to nobody and are left out.
    Units: latest_at, the newest event's receipt, in Unix seconds. Cost: about 200 bytes of memory per slate seen.
    """

    latest_at: float = 0.0
    _seen: dict[bytes, int] = field(default_factory=dict)
    _clicked: dict[bytes, int] = field(default_factory=dict)
    _people: dict[str, int] = field(default_factory=dict)
    _impressions: dict[str, _Column] = field(default_factory=dict)
    _clicks: dict[str, _Column] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Count an event unless its like was counted for this delivery."""
        delivery = event.delivery
        if delivery is None or not delivery.unit:
            return
        self.latest_at = max(self.latest_at, event.received_at)
        person = self._people.setdefault(delivery.unit, len(self._people))
        variant, bit = delivery.variant, 1 << event.position
        if not self._seen.get(event.request_id, 0) & bit:
            self._seen[event.request_id] = self._seen.get(event.request_id, 0) | bit
            self._impressions.setdefault(variant, _Column()).append(event.received_at, person)
        if event.type == CLICK and not self._clicked.get(event.request_id, 0) & bit:
            self._clicked[event.request_id] = self._clicked.get(event.request_id, 0) | bit
            self._clicks.setdefault(variant, _Column()).append(event.received_at, person)

    def score(self, variant: str, since: float = 0.0) -> Score:
        """The variant's rate over what came in at or after `since`. Units: since in Unix seconds.

        In a window, a click may stand without its impression, which came before: such clicks count with one.
        """
        people = len(self._people)
        impressions = self._impressions.get(variant, _Column()).per_person(people, since)
        clicks = self._clicks.get(variant, _Column()).per_person(people, since)
        impressions = np.maximum(impressions, clicks)
        measured = impressions > 0
        rate = clustered_rate(clicks[measured].astype(np.float64), impressions[measured].astype(np.float64))
        return Score(rate, int(measured.sum()), int(impressions.sum()), int(clicks.sum()))


class LogReader:
    """Carries new events from the bus to a scoreboard.

    A consumer of its own, so that nothing is trimmed before it was counted; `close` gives up the claim, or the log of
    this data directory would never be trimmed again. Raises, all of it: Unavailable.
    """

    def __init__(self, log: EventLog, scoreboard: Scoreboard) -> None:
        self._log = log
        self._scoreboard = scoreboard
        self._offset = 0
        log.acknowledge(_CONSUMER, 0)

    def catch_up(self) -> None:
        """Count all there is."""
        while page := self._log.read(self._offset, _PAGE):
            for logged in page:
                event = decode_bus_event(logged.message.body)
                if event is not None:
                    self._scoreboard.add(event)
            self._offset = page[-1].offset
            self._log.acknowledge(_CONSUMER, self._offset)

    def close(self) -> None:
        """Never read again. Idempotent."""
        self._log.acknowledge(_CONSUMER, _EVERYTHING)
