"""Features compiled: what reads facts and writes numbers, one at a time or a whole column.

Both ways share `read`, which does all the arithmetic; they differ only in how what was read is laid down. So an item
encodes to the same bits alone and among a million.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, product
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidFeature
from omakase.core.features.kinds import Categorical, Cross, Cyclic, Embedding, Feature, Hashed, Numeric, Recent
from omakase.core.values import Facts, Value

# One encoded item or context, and many of them.
Factor: TypeAlias = NDArray[np.float32]
Factors: TypeAlias = NDArray[np.float32]

Read = TypeVar("Read")
Numbers: TypeAlias = tuple[float, ...]
Words: TypeAlias = tuple[str, ...]
# What stands at which places; elsewhere is 0.
Places: TypeAlias = tuple[float, tuple[int, ...]]

# Words of several lists make as many combinations as the product of their lengths: a few tags each, or a mistake.
MAX_COMBINATIONS = 256
# Longer words are hashed each time: whoever sends them must not fill the memory.
_REMEMBERED_LENGTH = 64


class Encoder(ABC, Generic[Read]):
    """One feature, ready to encode."""

    width: int

    @abstractmethod
    def read(self, facts: Facts) -> Read | None:
        """What the facts say; None if nothing. Raises: InvalidFeature naming the feature and what it takes."""

    @abstractmethod
    def write(self, read: Read, out: Factor, at: int) -> None:
        """Lay down what was read, from `at` on, over zeros."""

    @abstractmethod
    def write_column(self, rows: Sequence[int], read: Sequence[Read], out: Factors) -> None:
        """Lay down what was read of each of these rows, over zeros. Shapes: out is (n, width)."""


class _Dense(Encoder[Numbers]):
    def write(self, read: Numbers, out: Factor, at: int) -> None:
        out[at : at + self.width] = read

    def write_column(self, rows: Sequence[int], read: Sequence[Numbers], out: Factors) -> None:
        numbers = np.fromiter(chain.from_iterable(read), np.float64, len(rows) * self.width)
        out[rows] = numbers.reshape(len(rows), self.width)


class _Sparse(Encoder[Places]):
    def write(self, read: Places, out: Factor, at: int) -> None:
        number, places = read
        for place in places:
            out[at + place] = number

    def write_column(self, rows: Sequence[int], read: Sequence[Places], out: Factors) -> None:
        counts = [len(places) for _, places in read]
        places = np.fromiter(chain.from_iterable(places for _, places in read), np.intp, sum(counts))
        numbers = np.fromiter((number for number, _ in read), np.float64, len(read))
        out[np.repeat(rows, counts), places] = np.repeat(numbers, counts)


class _Words(_Sparse):
    """Reads words."""

    name: str

    def words(self, facts: Facts) -> Words:
        """Those that count, none where the fact is missing. Raises: InvalidFeature."""
        value = facts.get(self.name)
        return () if value is None else _words(self.name, value)


class _Numeric(Encoder[float]):
    width = 1

    def __init__(self, feature: Numeric) -> None:
        self._name, self._mean, self._scale, self._clip = feature.name, feature.mean, feature.scale, feature.clip

    def read(self, facts: Facts) -> float | None:
        value = facts.get(self._name)
        if value is None:
            return None
        number = (_number(self._name, value) - self._mean) / self._scale
        clip = self._clip
        if -clip <= number <= clip:
            return number
        return math.copysign(clip, number)

    def write(self, read: float, out: Factor, at: int) -> None:
        out[at] = read

    def write_column(self, rows: Sequence[int], read: Sequence[float], out: Factors) -> None:
        out[rows, 0] = read


class _Cyclic(_Dense):
    width = 2

    def __init__(self, feature: Cyclic) -> None:
        self._name, self._period = feature.name, feature.period

    def read(self, facts: Facts) -> Numbers | None:
        value = facts.get(self._name)
        if value is None:
            return None
        angle = 2 * math.pi * math.fmod(_number(self._name, value), self._period) / self._period
        return math.sin(angle), math.cos(angle)

    def write(self, read: Numbers, out: Factor, at: int) -> None:
        out[at], out[at + 1] = read


class _Vector(_Dense):
    def __init__(self, feature: Embedding | Recent) -> None:
        self._name, self.width, self._clip = feature.name, feature.dimensions, feature.clip

    def read(self, facts: Facts) -> Numbers | None:
        value = facts.get(self._name)
        if value is None:
            return None
        if not isinstance(value, tuple) or len(value) != self.width or isinstance(value[0], str):
            raise InvalidFeature(f"{self._name!r} must be a list of {self.width} numbers")
        numbers: Numbers = value
        if not math.isfinite(sum(numbers)) and not all(map(math.isfinite, numbers)):
            raise InvalidFeature(f"{self._name!r} must be a list of finite numbers")
        clip = self._clip
        if max(numbers) > clip or min(numbers) < -clip:
            return tuple(min(max(number, -clip), clip) for number in numbers)
        return numbers


class _Vocabulary(_Words):
    def __init__(self, feature: Categorical) -> None:
        self.name, self.width = feature.name, feature.width
        self._index = {word: place for place, word in enumerate(feature.vocabulary)}
        self._alone: dict[object, Places] = {word: (1.0, (place,)) for word, place in self._index.items()}

    def words(self, facts: Facts) -> Words:
        value = facts.get(self.name)
        if value.__class__ is str:
            return (value,) if value in self._index else ()
        return tuple(word for word in super().words(facts) if word in self._index)

    def read(self, facts: Facts) -> Places | None:
        value = facts.get(self.name)
        if value.__class__ is str:
            return self._alone.get(value)
        return 1.0, tuple(self._index[word] for word in self.words(facts))


class _Buckets(_Words):
    def __init__(self, feature: Hashed) -> None:
        self.name, self.width = feature.name, feature.buckets

    def read(self, facts: Facts) -> Places | None:
        value = facts.get(self.name)
        if value.__class__ is str:
            return 1.0, (_bucket(f"{self.name}={value}", self.width),)
        return 1.0, tuple(_bucket(f"{self.name}={word}", self.width) for word in self.words(facts))


class _Cross(_Sparse):
    def __init__(self, feature: Cross, side: Mapping[str, Feature]) -> None:
        self._name, self.width = feature.name, feature.buckets
        parts = [encoder_of(side[name], side) for name in feature.of]
        self._words = [part for part in parts if isinstance(part, _Words)]
        self._numbers = [part for part in parts if isinstance(part, _Numeric)]

    def read(self, facts: Facts) -> Places | None:
        product_of_numbers = 1.0
        for part in self._numbers:
            number = part.read(facts)
            if number is None:
                return None
            product_of_numbers *= number
        words = [part.words(facts) for part in self._words]
        count = math.prod(map(len, words))
        if count > MAX_COMBINATIONS:
            raise InvalidFeature(
                f"{self._name!r} would cross {count} combinations of words, at most {MAX_COMBINATIONS}"
            )
        return product_of_numbers, tuple([self._place(combination) for combination in product(*words)])

    def _place(self, combination: Words) -> int:
        is_short = max(map(len, combination)) <= _REMEMBERED_LENGTH
        return (_remembered_mix if is_short else _mix)(self._name, combination) % self.width


def encoder_of(feature: Feature, side: Mapping[str, Feature]) -> Encoder[Any]:
    """A feature compiled; `side` holds all features beside it, by name."""
    match feature:
        case Numeric():
            return _Numeric(feature)
        case Cyclic():
            return _Cyclic(feature)
        case Categorical():
            return _Vocabulary(feature)
        case Hashed():
            return _Buckets(feature)
        case Embedding() | Recent():
            return _Vector(feature)
        case Cross():
            return _Cross(feature, side)


def _bucket(text: str, buckets: int) -> int:
    return (_remembered_hash if len(text) <= _REMEMBERED_LENGTH else _hash)(text) % buckets


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _mix(name: str, combination: Words) -> int:
    # Lengths, so that no two combinations are spelt alike.
    return _hash(f"{name}=" + "".join(f"{len(word)}:{word}" for word in combination))


_remembered_hash = lru_cache(maxsize=16_384)(_hash)
_remembered_mix = lru_cache(maxsize=16_384)(_mix)


def _number(name: str, value: Value) -> float:
    if isinstance(value, (str, tuple)):
        raise InvalidFeature(f"{name!r} must be a number")
    if not math.isfinite(value):
        raise InvalidFeature(f"{name!r} must be a finite number")
    return float(value)


def _words(name: str, value: Value) -> Words:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, tuple) and all(isinstance(word, str) for word in value):
        return value  # type: ignore[return-value]
    raise InvalidFeature(f"{name!r} must be text or a list of texts")
