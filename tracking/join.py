"""Slates, their propensities, and events with the delivery they name, made into messages for the bus."""

from __future__ import annotations

from hashlib import blake2b

from omakase.core.events import Event
from omakase.core.sessions import Discarded
from omakase.ports.delivery_store import Parked
from omakase.ports.event_bus import Message
from omakase.wire import (
    RecordedSlate,
    SpooledPropensities,
    SpooledSlate,
    bus_body,
    bus_body_of_event,
    bus_body_of_slate,
    encode_event,
)


def slate_message(slate: SpooledSlate, now: float) -> Message:
    """A slate's own record, named by its request id."""
    return Message(slate.request_id, now, bus_body_of_slate(slate.body), "deliveries", slate.positions)


def propensities_message(record: SpooledPropensities, now: float) -> Message:
    """A slate's propensities, named after their slate and not as it."""
    key = blake2b(record.request_id, digest_size=16, person=b"propensities").digest()
    return Message(key, now, record.body, "propensities", record.positions)


def discard_message(record: Discarded, encoded: bytes, now: float) -> Message:
    """That a slate is discarded, named after it and not as it."""
    key = blake2b(record.request_id, digest_size=16, person=b"discarded").digest()
    return Message(key, now, encoded, "discards")


def event_message(event: Event, slate: RecordedSlate | None) -> Message:
    """An event and its delivery, named by its receipt.

    Without a slate, or with one that does not have the event's position, it is joined to nothing; the trainer counts
    it as an orphan.
    """
    joined = slate.joined(event.position) if slate is not None else None
    body = bus_body(event) if joined is None else bus_body_of_event(event, joined)
    return Message(event.receipt_id, event.received_at, body, event=event)


def parked(event: Event) -> Parked:
    """An event that waits for its slate."""
    return Parked(event.receipt_id, event.request_id, event.received_at, encode_event(event))
