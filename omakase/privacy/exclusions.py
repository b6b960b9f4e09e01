"""Events that nobody sent: they keep the deliveries of forgotten people from being learnt."""

from __future__ import annotations

from hashlib import blake2b

from omakase.core.events import EXCLUSION, Event
from omakase.core.ids import RequestId
from omakase.ports.event_bus import Message
from omakase.wire import RecordedSlate, bus_body_of_event

FORGOTTEN = "forgotten"


def exclusions(request_id: RequestId, body: bytes, now: float) -> list[Message]:
    """What takes a slate's deliveries back, or keeps them from being learnt, while their reward window is open.

    `body` is the slate's record, which names nobody any more. Raises: Corrupt.
    """
    slate, messages = RecordedSlate(body), []
    position = 1
    while (joined := slate.joined(position)) is not None:
        named = request_id + bytes((position,))
        receipt_id = blake2b(named, digest_size=16, person=FORGOTTEN.encode()).digest()
        event = Event(receipt_id, request_id, position, EXCLUSION, now, unwanted=FORGOTTEN)
        messages.append(Message(receipt_id, now, bus_body_of_event(event, joined), units=0))
        position += 1
    return messages
