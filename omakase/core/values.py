"""Facts about people and items, before they are encoded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from omakase.core.errors import InvalidFeature

Value: TypeAlias = str | bool | float | tuple[str, ...] | tuple[float, ...]
Facts: TypeAlias = Mapping[str, Value]


def value_of(name: str, raw: object) -> Value:
    """Accept one fact as JSON or YAML gives it. Integers become floats, lists become tuples.

    Raises: InvalidFeature for null, objects, mixed lists, numbers that are not finite and text that is not Unicode.
    """
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str):
        return _text(name, raw)
    if isinstance(raw, (int, float)):
        return _finite(name, raw)
    if isinstance(raw, (list, tuple)):
        if set(map(type, raw)) == {float} and math.isfinite(sum(raw)):  # an embedding, at a tenth of the cost
            return tuple(raw)
        if all(isinstance(element, str) for element in raw):
            return tuple(_text(name, element) for element in raw)
        if all(isinstance(element, (int, float)) and not isinstance(element, bool) for element in raw):
            return tuple(_finite(name, element) for element in raw)
    raise InvalidFeature(f"{name!r} must be text, a number, true or false, or a list of one of the first two")


def facts_of(raw: Mapping[str, object]) -> dict[str, Value]:
    """Accept a JSON object of facts. Raises: InvalidFeature naming the first key that does not fit."""
    return {_text(name, name): value_of(name, element) for name, element in raw.items()}


def _text(name: str, text: str) -> str:
    # JSON can spell half of a surrogate pair (`\ud800`), which no encoding of the text survives.
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidFeature(f"{name!r} holds text that is not Unicode: half of a surrogate pair")
    return text


def _finite(name: str, number: float) -> float:
    try:
        as_float = float(number)
    except OverflowError:
        as_float = math.inf
    if not math.isfinite(as_float):
        raise InvalidFeature(f"{name!r} must be a finite number")
    return as_float
