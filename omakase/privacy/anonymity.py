"""Encoded records with nothing left in them that could be laid to a forgotten person.

What is taken out is made up for with zeros in a field that nobody reads, so that a body keeps its length: then it can
be changed where it lies, and nothing of what it was is left beside it.
"""

from __future__ import annotations

from collections.abc import Collection

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtobufMessage

from omakase.v1 import events_pb2 as pb

# Field 15, which neither a slate nor a message of the bus has. Its length always takes five bytes, however small.
_PADDING = 15 << 3 | 2
_HEAD_BYTES = 6


def anonymous_slate(body: bytes, people: Collection[str]) -> bytes:
    """A slate as it was spooled, nobody's if it was one of theirs. Guarantees: idempotent; keeps the length."""
    try:
        slate = pb.Slate.FromString(body)
    except DecodeError:
        return _without_names(body, people)
    return _padded(slate, len(body)) if _blank(slate, people) else _without_names(body, people)


def anonymous_message(body: bytes, people: Collection[str]) -> bytes:
    """A body of the bus, nobody's if it was one of theirs. Guarantees: idempotent; keeps the length."""
    try:
        message = pb.BusMessage.FromString(body)
    except DecodeError:
        return _without_names(body, people)
    if message.WhichOneof("kind") == "slate":
        is_changed = _blank(message.slate, people)
    else:
        is_changed = message.event.delivery.unit in people
        if is_changed:
            message.event.delivery.ClearField("unit")
    return _padded(message, len(body)) if is_changed else _without_names(body, people)


def _blank(slate: pb.Slate, people: Collection[str]) -> bool:
    if slate.unit not in people and slate.user not in people:
        return False
    for personal in ("unit", "user", "context"):
        slate.ClearField(personal)
    return True


def _without_names(body: bytes, people: Collection[str]) -> bytes:
    """Of what cannot be read, at least the names go."""
    for person in people:
        body = body.replace(person.encode(), b"-" * len(person))
    return body


def _padded(message: ProtobufMessage, length: int) -> bytes:
    encoded = message.SerializeToString()
    zeros = length - len(encoded) - _HEAD_BYTES
    if zeros < 0:
        raise ValueError(f"a name of fewer than {_HEAD_BYTES} bytes cannot be taken out")
    varint = bytes((zeros >> 7 * place & 127) | (128 if place < 4 else 0) for place in range(5))
    return encoded + bytes((_PADDING,)) + varint + bytes(zeros)
