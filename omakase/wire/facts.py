"""Facts and factors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import Corrupt
from omakase.core.values import Facts, Value
from omakase.v1 import values_pb2

_FLOAT32 = np.dtype("<f4")


def encode_facts(facts: Facts, into: Mapping[str, values_pb2.Value]) -> None:
    """Fill a protobuf map."""
    for name, value in facts.items():
        target = into[name]
        if isinstance(value, bool):
            target.flag = value
        elif isinstance(value, str):
            target.text = value
        elif isinstance(value, (int, float)):
            target.number = value
        elif all(isinstance(element, str) for element in value):
            target.texts.SetInParent()  # an empty list is a value too
            target.texts.values.extend(map(str, value))
        else:
            target.numbers.values.extend(map(float, value))


def decode_facts(encoded: Mapping[str, values_pb2.Value]) -> dict[str, Value]:
    return {name: _value(value) for name, value in encoded.items()}


def encode_factor(factor: NDArray[np.float32]) -> bytes:
    return factor.astype(_FLOAT32, copy=False).tobytes()


@lru_cache(maxsize=4096)
def decode_factor(packed: bytes) -> NDArray[np.float32]:
    """Read-only and shared: a context's factor comes with each of its events, an item's with each of its deliveries.

    Raises: Corrupt if the bytes are not finite float32 numbers.
    """
    if len(packed) % 4:
        raise Corrupt(f"a factor of {len(packed)} bytes is not packed float32")
    factor = np.frombuffer(packed, dtype=_FLOAT32)
    if not np.isfinite(factor).all():
        raise Corrupt("a factor holds a number that is not finite")
    return factor


def _value(message: values_pb2.Value) -> Value:
    kind = message.WhichOneof("kind")
    if kind == "text":
        return message.text
    if kind == "number":
        return message.number
    if kind == "flag":
        return message.flag
    if kind == "texts":
        return tuple(message.texts.values)
    if kind == "numbers":
        return tuple(message.numbers.values)
    raise Corrupt("a fact holds no value")
