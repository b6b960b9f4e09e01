"""The facts about all items of a catalogue, a few bytes a fact.

Most facts say one of few things: a category, a colour, a size. Every different (fact, value) is kept once and has a
code; an item is the list of its codes. What hardly ever comes twice, such as a title or an embedding, is packed.
"""

from __future__ import annotations

import marshal
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.core.packed import Packed
from omakase.core.suggestion import suggest
from omakase.core.values import Facts, Value

Codes: TypeAlias = NDArray[np.int32]
Mask: TypeAlias = NDArray[np.bool_]
_Key: TypeAlias = Value | tuple[type[bool], bool]

NONE = -1
# A fact of more values than this is no kind of item but a name of it.
MAX_KINDS = 65_536
_LONGEST_TEXT = 256
_LONGEST_NUMBERS = 16
# Columns that are kept at a time: five to eight bytes an item each.
_COLUMNS = 16
_CHUNK = 65_536
# To compare is faster than to look up, as long as there is little to compare with.
_FEW = 16


@dataclass(frozen=True, slots=True)
class _Column:
    """One fact of all items. Shapes: codes (n,), NONE where an item lacks it; `narrow`, the same in as few bytes as do,
    is what filters compare. `having` is by single value: codes.
    """

    codes: Codes
    narrow: NDArray[np.signedinteger]
    having: dict[_Key, list[int]]


@dataclass(slots=True)
class _Kinds:
    """The different values of one fact: their codes among all pairs. `is_open`: there are values without a code."""

    codes: dict[_Key, int] = field(default_factory=dict)
    is_open: bool = False


class Metadata:
    """Items' facts in catalogue order; it grows while its catalogue is made, and is only read from then on."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Kinds] = {}
        self._pairs: list[tuple[str, Value]] = []
        self._rare = Packed()
        self._codes = array("i")
        self._ends = array("q", (0,))
        self._columns: dict[str, _Column] = {}

    def append(self, facts: Facts) -> None:
        """The next item's. Cost: a µs a fact."""
        for name, value in facts.items():
            kinds = self._kinds.get(name)
            if kinds is None:
                kinds = self._kinds[name] = _Kinds()
            code = kinds.codes.get(_key(value)) if _is_short(value) else None
            self._codes.append(self._new(name, value, kinds) if code is None else code)
        self._ends.append(len(self._codes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, i: int) -> Facts:
        """Equal to what was appended. Cost: a µs, and what an embedding takes to unpack. Raises: IndexError."""
        i = range(len(self))[i]
        codes = self._codes[self._ends[i] : self._ends[i + 1]]
        return dict(self._pairs[code] if code >= 0 else _unpacked(self._rare[~code]) for code in codes)

    def __iter__(self) -> Iterator[Facts]:
        return (self[i] for i in range(len(self)))

    def codes(self, fact: str) -> Codes:
        """Equal where items have the same value of `fact`, NONE where they lack it. Shapes: (n,), read-only.

        Raises: InvalidInput if no item has the fact, naming the nearest; or if its values are too many or too long.
        Cost: some 10 ns a fact of the catalogue, once.
        """
        return self._column(fact).codes

    def having(self, fact: str, wanted: Value) -> Mask:
        """Which items' `fact` is `wanted` or one of it; where the fact is a list, which have one of these in it.

        Shapes: (n,). Raises: as `codes`.
        """
        column = self._column(fact)
        keys = {_key(value) for value in (wanted if isinstance(wanted, tuple) else (wanted,))}
        codes = sorted({code for key in keys for code in column.having.get(key, ())})
        if len(codes) > _FEW:
            # One more than there are, for NONE is looked up from the end.
            table = np.zeros(len(self._kinds[fact].codes) + 1, dtype=np.bool_)
            table[codes] = True
            return table[column.codes]
        mask = np.zeros(len(self), dtype=np.bool_)
        for code in codes:
            mask |= column.narrow == code
        return mask

    def _new(self, name: str, value: Value, kinds: _Kinds) -> int:
        if len(kinds.codes) < MAX_KINDS and _is_short(value):
            code = kinds.codes[_key(value)] = len(self._pairs)
            self._pairs.append((name, value))
            return code
        kinds.is_open = True
        self._rare.append(_packed(name, value))
        return ~(len(self._rare) - 1)

    def _column(self, fact: str) -> _Column:
        column = self._columns.get(fact)
        if column is None:
            kinds = self._kinds.get(fact)
            if kinds is None:
                raise InvalidInput(f"no item has the fact {fact!r}{suggest(fact, self._kinds)}")
            if kinds.is_open:
                raise InvalidInput(f"the fact {fact!r} has too many or too long values to tell kinds of items by it")
            codes = self._local(kinds)
            column = _Column(codes, codes.astype(np.min_scalar_type(-1 - len(kinds.codes))), _having(kinds))
            if len(self._columns) >= _COLUMNS:
                self._columns.pop(next(iter(self._columns)), None)
            self._columns[fact] = column
        return column

    def _local(self, kinds: _Kinds) -> Codes:
        """The codes of one fact, numbered from 0."""
        # One place more, at the end, where packed values are looked up: as -1.
        local = np.full(len(self._pairs) + 1, NONE, dtype=np.int32)
        local[list(kinds.codes.values())] = np.arange(len(kinds.codes))
        flat, ends = np.frombuffer(self._codes, dtype=np.int32), np.frombuffer(self._ends, dtype=np.int64)
        column = np.full(len(self), NONE, dtype=np.int32)
        for start in range(0, len(self), _CHUNK):
            bounds = ends[start : start + _CHUNK + 1]
            found = local[np.maximum(flat[bounds[0] : bounds[-1]], -1)]
            places = np.flatnonzero(found >= 0)
            column[start + np.searchsorted(bounds, places + bounds[0], side="right") - 1] = found[places]
        column.flags.writeable = False
        return column


def _having(kinds: _Kinds) -> dict[_Key, list[int]]:
    having: dict[_Key, list[int]] = {}
    for code, key in enumerate(kinds.codes):
        is_list = isinstance(key, tuple) and not (key and key[0] is bool)
        for element in key if is_list else (key,):  # type: ignore[union-attr]
            having.setdefault(element, []).append(code)  # type: ignore[arg-type]
    return having


def _key(value: Value) -> _Key:
    """Tells a truth value from the number that equals it."""
    return (bool, value) if isinstance(value, bool) else value


def _is_short(value: Value) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_TEXT
    if isinstance(value, tuple) and value and not isinstance(value[0], str):
        return len(value) <= _LONGEST_NUMBERS
    return True


def _packed(name: str, value: Value) -> bytes:
    """A list of numbers that are exact in four bytes, as an embedding's are, takes four bytes each."""
    if isinstance(value, tuple) and value and not isinstance(value[0], str):
        halves = array("f", value)
        if tuple(halves) == value:
            return marshal.dumps((name, halves.tobytes()))
    return marshal.dumps((name, value))


def _unpacked(piece: bytes) -> tuple[str, Value]:
    name, value = marshal.loads(piece)  # noqa: S302  # bytes that this process packed
    if isinstance(value, bytes):
        halves = array("f")
        halves.frombytes(value)
        return name, tuple(halves)
    return name, value
