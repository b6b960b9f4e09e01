"""A trainer whose memory was lost goes on where the memory ended, and says what was lost with it."""

from __future__ import annotations

import logging
from collections import Counter

from omakase.core.accounting import DELIVERIES, EVENTS, RECEIVED, SERVED, DeliveryEnd, EventEnd, Tally
from omakase.ports.event_bus import EventLog
from omakase.ports.training_state import Progress, Tick, TrainingState

log = logging.getLogger(__name__)

_PAGE = 10_000


def recover(bus: EventLog, state: TrainingState, consumer: str) -> None:
    """Start a memory that is new, though its trainer has read before, after what was acknowledged.

    What is still on the bus from before that was learnt already. What was read and not yet closed is gone: whatever was
    read counts as `lost`. Raises: Unavailable.
    """
    with state.held():
        if state.progress().number:
            return
        cursor = bus.acknowledge(consumer, 0)
        if not cursor:
            return
        lost = _units_through(bus, cursor)
        deliveries, events = lost[DELIVERIES], lost[EVENTS]
        tally: Tally = Counter(
            {
                (DELIVERIES, SERVED): deliveries,
                (DELIVERIES, DeliveryEnd.LOST): deliveries,
                (EVENTS, RECEIVED): events,
                (EVENTS, EventEnd.LOST): events,
            }
        )
        state.commit(Tick(Progress(1, cursor), {}, tally))
    log.error(
        "the training memory was lost: what became of %d deliveries and %d events is not known, and of them what was "
        "not published yet is in no model; `omakase models rebuild` takes it from the warehouse",
        deliveries,
        events,
    )


def _units_through(bus: EventLog, cursor: int) -> Counter[str]:
    """Units at or below an offset, by kind: trimmed ones are in the totals only."""
    last, totals = bus.last_offset(), bus.totals()
    while bus.last_offset() != last:
        last, totals = bus.last_offset(), bus.totals()
    units = Counter(totals)
    while cursor < last:
        for logged in bus.read(cursor, min(_PAGE, last - cursor)):
            units[logged.message.kind] -= logged.message.units
            cursor = logged.offset
    return units
