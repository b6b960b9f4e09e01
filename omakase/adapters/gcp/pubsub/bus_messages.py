"""How a bus message travels on Pub/Sub: its body is the data, the rest are attributes, which a filter can name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from google.pubsub_v1.types import PubsubMessage

from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.events import Event
from omakase.core.ids import text_of
from omakase.ports.event_bus import Kind, Message

# A reader that must not read a message twice tells them apart by the one; the other is when it is from.
KEY = "key"
RECEIVED_AT = "received_at"
MAX_BYTES = 9_000_000  # of Pub/Sub's 10 MB, which are for attributes too
_MOST_UNITS = 2**31 - 1  # the journal adds them up in 64 bits

_KINDS: dict[str, Kind] = {
    "deliveries": "deliveries",
    "events": "events",
    "propensities": "propensities",
    "discards": "discards",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Pb = PubsubMessage.pb()  # bare: the wrapped class takes ten times as long to fill


def enclose(message: Message) -> Any:
    """A Pub/Sub message, bare. Times are RFC 3339 to the microsecond, as Dataflow's `timestamp_attribute` reads them.

    An event shows its `type`, `request_id` and `position`, by which every table knows its delivery, and `occurred_at`.
    Raises: InvalidInput for what no bus takes.
    """
    if len(message.key) != 16:
        raise InvalidInput(f"a message's key has 16 bytes, not {len(message.key)}")
    if len(message.body) > MAX_BYTES:
        raise InvalidInput(f"a message has at most {MAX_BYTES} bytes, not {len(message.body)}")
    attributes = {
        KEY: message.key.hex(),
        "kind": message.kind,
        "units": str(message.units),
        RECEIVED_AT: _rfc3339(message.at),
    }
    if message.event is not None:
        attributes |= _labels(message.event)
    return _Pb(data=message.body, attributes=attributes)


def disclose(bare: Any) -> Message:
    """What `enclose` enclosed, without its event. Raises: Corrupt if that was never ours."""
    attributes = bare.attributes
    try:
        key, kind, units = bytes.fromhex(attributes[KEY]), _KINDS[attributes["kind"]], int(attributes["units"])
        at = (datetime.fromisoformat(attributes[RECEIVED_AT]) - _EPOCH) / timedelta(seconds=1)
    except (KeyError, ValueError, TypeError) as error:
        raise Corrupt(f"message {bare.message_id} has not the attributes of a bus message: {error!r}") from error
    if not 0 <= units <= _MOST_UNITS:
        raise Corrupt(f"message {bare.message_id} stands for {units} units")
    if len(key) != 16:
        raise Corrupt(f"message {bare.message_id} has a key of {len(key)} bytes instead of 16")
    return Message(key, at, bare.data, kind, units)


def _labels(event: Event) -> dict[str, str]:
    labels = {"type": event.type, "request_id": text_of(event.request_id), "position": str(event.position)}
    return labels if event.occurred_at is None else {**labels, "occurred_at": _rfc3339(event.occurred_at)}


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
