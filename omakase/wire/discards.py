"""That nobody saw a slate, as a spool and the bus carry it: both hold the same bytes."""

from __future__ import annotations

from omakase.core.errors import Corrupt
from omakase.core.ids import RequestId
from omakase.core.sessions import Discarded
from omakase.v1 import events_pb2 as pb
from omakase.wire.framing import field, parse

_TAG = bytes((pb.BusMessage.DISCARDED_FIELD_NUMBER << 3 | 2,))


def encode_discarded(record: Discarded) -> bytes:
    """A body of the bus, which `is_discarded`."""
    message = pb.Discarded(request_id=record.request_id)
    return field(pb.BusMessage.DISCARDED_FIELD_NUMBER, message.SerializeToString())


def is_discarded(body: bytes) -> bool:
    """Whether a body of the bus, or a spooled record, says so. Cost: a look at its first byte, as `is_propensities`."""
    return body[:1] == _TAG


def decode_discarded(body: bytes) -> Discarded:
    """Raises: Corrupt."""
    return discarded_of(parse(pb.BusMessage, body).discarded)


def discarded_of(message: pb.Discarded) -> Discarded:
    """Raises: Corrupt."""
    if len(message.request_id) != 16:
        raise Corrupt("what is discarded needs a request id of 16 bytes")
    return Discarded(RequestId(message.request_id))
