"""What the bus carries."""

from __future__ import annotations

from omakase.core.errors import Corrupt
from omakase.core.events import Event
from omakase.core.ids import RequestId
from omakase.core.propensities import SlatePropensities
from omakase.core.sessions import Discarded, SlateRead
from omakase.core.slates import Slate
from omakase.v1 import events_pb2 as pb
from omakase.wire.discards import discarded_of
from omakase.wire.events import encode_event, event_message, event_of
from omakase.wire.framing import field, parse
from omakase.wire.propensities import propensities_of
from omakase.wire.slates import check_slate, slate_message, slate_of


def bus_body(record: Slate | Event) -> bytes:
    """What the bus carries for one record."""
    if isinstance(record, Slate):
        return pb.BusMessage(slate=slate_message(record)).SerializeToString()
    return pb.BusMessage(event=event_message(record)).SerializeToString()


def bus_body_of_slate(encoded: bytes) -> bytes:
    """What `bus_body` makes of a slate, from the slate's own bytes."""
    return field(pb.BusMessage.SLATE_FIELD_NUMBER, encoded)


def bus_body_of_event(event: Event, joined: bytes) -> bytes:
    """What `bus_body` makes of an event with its delivery, from the delivery's own bytes, order of fields aside."""
    encoded = encode_event(event) + field(pb.Event.DELIVERY_FIELD_NUMBER, joined)
    return field(pb.BusMessage.EVENT_FIELD_NUMBER, encoded)


def bus_body_of_unread_event(encoded: bytes) -> bytes:
    """What `bus_body` would make of an event without its delivery, from bytes that need not be one."""
    return field(pb.BusMessage.EVENT_FIELD_NUMBER, encoded)


def request_id_of(body: bytes) -> RequestId:
    """Which slate a bus message belongs to. Raises: Corrupt."""
    message = parse(pb.BusMessage, body)
    request_id: bytes = getattr(message, message.WhichOneof("kind") or "slate").request_id
    if len(request_id) != 16:
        raise Corrupt("a bus message needs a request id of 16 bytes")
    return RequestId(request_id)


def decode_bus_body(body: bytes) -> Slate | Event | SlatePropensities | Discarded:
    """Raises: Corrupt."""
    message = parse(pb.BusMessage, body)
    kind = message.WhichOneof("kind")
    if kind == "slate":
        return slate_of(message.slate)
    if kind == "event":
        return event_of(message.event)
    if kind == "propensities":
        return propensities_of(message.propensities)
    if kind == "discarded":
        return discarded_of(message.discarded)
    raise Corrupt("a bus message holds no slate, no event, no propensities and nothing discarded")


def decode_for_training(body: bytes) -> SlateRead | Event | Discarded:
    """What the fold needs of a bus message: of a slate, which costs the most to read, hardly anything is decoded.

    Raises: Corrupt.
    """
    message = parse(pb.BusMessage, body)
    kind = message.WhichOneof("kind")
    if kind == "event":
        return event_of(message.event)
    if kind == "slate":
        check_slate(message.slate)
        return SlateRead(len(message.slate.deliveries), bool(message.slate.model))
    if kind == "discarded":
        return discarded_of(message.discarded)
    raise Corrupt("a bus message holds neither a slate nor an event")


def decode_bus_event(body: bytes) -> Event | None:
    """The event in a bus message; None for a slate, which costs the most to read and is left undecoded.

    Raises: Corrupt.
    """
    message = parse(pb.BusMessage, body)
    return event_of(message.event) if message.HasField("event") else None
