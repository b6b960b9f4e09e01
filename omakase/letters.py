"""Dead letters, published again after what was wrong has been mended, and shown as far as they can be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from omakase.core.errors import Corrupt
from omakase.core.events import Event
from omakase.core.ids import text_of
from omakase.core.slates import Slate
from omakase.ports.dead_letters import DeadLetter
from omakase.ports.event_bus import EventBus, Message
from omakase.wire import decode_bus_body

_BATCH = 500


def replay(letters: Iterable[DeadLetter], bus: EventBus, now: float) -> int:
    """Publish letters again. Returns how many. The tick that reads one takes its letter away, or sets it aside anew.

    A replay stands for no units, for its message has been counted, and its key is its letter's: so whoever dies in
    between, or does it twice, loses nothing and counts nothing twice. Raises: Unavailable; then repeat it.
    """
    count, left = 0, iter(letters)
    while batch := list(islice(left, _BATCH)):
        bus.publish([Message(letter.next_key, now, letter.body, letter.kind, units=0) for letter in batch])
        count += len(batch)
    return count


def facts_of(letter: DeadLetter) -> Iterator[tuple[str, object]]:
    """What is known of a letter, and what can be read in it. It names no person."""
    yield "id", letter.key.hex()
    yield "kind", letter.kind
    yield "units", letter.units
    yield "received_at", letter.received_at
    yield "reason", letter.reason
    yield "detail", letter.detail
    yield "bytes", len(letter.body)
    try:
        record = decode_bus_body(letter.body)
    except Corrupt as error:
        yield "undecodable", str(error)
        yield "body", letter.body[:256].hex()
        return
    yield "request_id", text_of(record.request_id)
    if isinstance(record, Event):
        yield "position", record.position
        yield "type", record.type
        yield "value", record.value
        yield "event_id", record.event_id
        yield "model", record.delivery.model if record.delivery else ""
        yield "item_id", record.delivery.item_id if record.delivery else ""
    elif isinstance(record, Slate):
        yield "placement", record.placement
        yield "variant", record.variant
        yield "model", record.model
        yield "items", [delivery.item_id for delivery in record.deliveries]
