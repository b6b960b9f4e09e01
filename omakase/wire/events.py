"""Events, with the delivery that they name."""

from __future__ import annotations

from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.events import Event
from omakase.core.ids import RequestId
from omakase.v1 import events_pb2 as pb
from omakase.wire.framing import parse
from omakase.wire.slates import encode_joined, joined_of


def event_message(event: Event) -> pb.Event:
    return pb.Event(
        receipt_id=event.receipt_id,
        request_id=event.request_id,
        position=event.position,
        type=event.type,
        value=event.value,
        event_id=event.event_id,
        received_at=event.received_at,
        occurred_at=event.occurred_at,
        delivery=encode_joined(event.delivery) if event.delivery is not None else None,
        unwanted=event.unwanted,
        by_server=event.by_server,
    )


def encode_event(event: Event) -> bytes:
    return event_message(event).SerializeToString()


def decode_event(body: bytes) -> Event:
    """Raises: Corrupt if the bytes are not an event that could have been accepted."""
    return event_of(parse(pb.Event, body))


def event_of(message: pb.Event) -> Event:
    """Raises: Corrupt."""
    if len(message.request_id) != 16 or len(message.receipt_id) != 16:
        raise Corrupt("an event needs a request id and a receipt id of 16 bytes")
    try:
        return Event(
            receipt_id=message.receipt_id,
            request_id=RequestId(message.request_id),
            position=message.position,
            type=message.type,
            received_at=message.received_at,
            value=message.value if message.HasField("value") else None,
            event_id=message.event_id,
            occurred_at=message.occurred_at if message.HasField("occurred_at") else None,
            delivery=joined_of(message.delivery) if message.HasField("delivery") else None,
            unwanted=message.unwanted,
            by_server=message.by_server,
        )
    except InvalidInput as error:
        raise Corrupt(str(error)) from error
