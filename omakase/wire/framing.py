"""Encoded messages, taken apart and put into each other."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtobufMessage

from omakase.core.errors import Corrupt

Parsed = TypeVar("Parsed", bound=ProtobufMessage)


def parse(kind: type[Parsed], body: bytes) -> Parsed:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise Corrupt(f"not a {kind.DESCRIPTOR.full_name}: {error}") from error


def field(number: int, encoded: bytes) -> bytes:
    """An encoded message as a field of another: tag, length as a varint, bytes. The number is below 16."""
    length = len(encoded)
    head = bytearray((number << 3 | 2,))
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + encoded
