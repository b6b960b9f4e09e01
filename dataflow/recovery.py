"""A trainer whose memory or whose bus was lost goes on where the other ends, and says what was lost."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

from omakase.core.accounting import DELIVERIES, EVENTS, RECEIVED, SERVED, DeliveryEnd, EventEnd, Tally
from omakase.ports.event_bus import EventLog
from omakase.ports.training_state import Progress, Tick, TrainingState

log = logging.getLogger(__name__)

_PAGE = 10_000


def recover(bus: EventLog, state: TrainingState, consumer: str) -> None:
    """Start a memory that is new, though its trainer has read before, after what was acknowledged.

    What is still on the bus from before that was learnt already. What was read and not yet closed is gone: whatever was
    read counts as `lost`. And a memory whose bus is new, though it has read before, starts at the first of its offsets.
    Raises: Unavailable.
    """
    with state.held():
        progress = state.progress()
        cursor = bus.acknowledge(consumer, 0)
        if progress.number > 1 and progress.cursor and not cursor:
            _start_again(state, progress)
        if progress.number or not cursor:
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


def _start_again(state: TrainingState, progress: Progress) -> None:
    """The bus knows of no consumer: it is another one, and its offsets say nothing of what was read before."""
    state.commit(Tick(replace(progress, number=progress.number + 1, cursor=0), {}))
    log.error("the bus was lost: what was on it and not read, is in no model; reading the new one from its start")


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
