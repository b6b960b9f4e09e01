"""An event and the delivery it names, made into messages for the bus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from omakase.core.errors import InvalidInput
from omakase.core.events import Event, Joined
from omakase.core.ids import RequestId
from omakase.core.slates import Slate
from omakase.ports.delivery_store import Parked
from omakase.ports.event_bus import Message
from omakase.wire import bus_body, encode_event


def slate_message(slate: Slate, now: float) -> Message:
    """A slate's own record, named by its request id."""
    return Message(slate.request_id, now, bus_body(slate), "deliveries", len(slate.deliveries))


def event_message(event: Event) -> Message:
    """An event, joined or given up, named by its receipt."""
    return Message(event.receipt_id, event.received_at, bus_body(event), "events")


def join(events: Iterable[Event], slates: Mapping[RequestId, Slate]) -> tuple[list[Event], list[Event]]:
    """Give each event its delivery: (joined, those whose slate is not known yet).

    An event whose position its slate does not have is joined to nothing; the trainer counts it as an orphan.
    """
    joined, unknown = [], []
    for event in events:
        slate = slates.get(event.request_id)
        if slate is None:
            unknown.append(event)
            continue
        try:
            joined.append(replace(event, delivery=Joined.of(slate, event.position)))
        except InvalidInput:
            joined.append(event)
    return joined, unknown


def parked(event: Event) -> Parked:
    """An event that waits for its slate."""
    return Parked(event.receipt_id, event.request_id, event.received_at, encode_event(event))
