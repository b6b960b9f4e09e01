"""The different values of one fact, each with a code."""

from __future__ import annotations

from array import array
from typing import TypeAlias

from omakase.core.values import Value

_Key: TypeAlias = Value | tuple[type[bool], bool]

# A fact of more values than this is no kind of item but a name of it.
MAX_KINDS = 65_536
# So many facts can have codes that fit 31 bits.
_MAX_FACTS = 32_767
_LONGEST_TEXT = 256
_LONGEST_NUMBERS = 16


class Kinds:
    """Which values items have, and how many have each: a value that no item has any more gives its code back.

    `values` are by code, None where a code is free. Whoever shares it takes a `copy` before `take` and `give_back`.
    """

    __slots__ = ("_codes", "_counts", "_free", "_uncoded", "_within", "name", "number", "values")

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.values: list[Value | None] = []
        self._codes: dict[_Key, int] = {}
        self._within: dict[_Key, list[int]] | None = None
        self._counts = array("i")
        self._free: list[int] = []
        self._uncoded = 0

    @property
    def is_there(self) -> bool:
        """Whether any item has the fact."""
        return bool(self._codes) or self.is_open

    @property
    def is_open(self) -> bool:
        """Whether items have values without a code: there are too many, or they are too long."""
        return self._uncoded > 0

    def take(self, value: Value) -> int | None:
        """The code of a value that one more item has, None where it has none."""
        code = self._codes.get(_key(value)) if _is_short(value) else None
        if code is None:
            code = self._new(value)
            if code is None:
                self._uncoded += 1
                return None
        self._counts[code] += 1
        return code

    def give_back(self, code: int | None) -> None:
        """One item does not have the value of this code any more; or, without a code, one of those that have none."""
        if code is None:
            self._uncoded -= 1
            return
        self._counts[code] -= 1
        if self._counts[code]:
            return
        value = self.values[code]
        assert value is not None
        del self._codes[_key(value)]
        self.values[code] = None
        self._within = None
        self._free.append(code)

    def having(self, wanted: Value) -> list[int]:
        """The codes of values that are `wanted` or one of it, and of lists that have one of these in them.

        Cost: where values have changed, once 50 ns each of them.
        """
        if self._within is None:
            self._within = self._lists()
        keys = {_key(value) for value in (wanted if isinstance(wanted, tuple) else (wanted,))}
        alone = {code for key in keys if (code := self._codes.get(key)) is not None}
        return sorted(alone.union(*(self._within.get(key, ()) for key in keys)))

    def copy(self) -> Kinds:
        """Cost: 20 ns a value."""
        found = Kinds(self.name, self.number)
        found.values, found._codes, found._within = self.values.copy(), self._codes.copy(), self._within
        found._counts, found._free, found._uncoded = self._counts[:], self._free.copy(), self._uncoded
        return found

    def _new(self, value: Value) -> int | None:
        if len(self._codes) >= MAX_KINDS or self.number >= _MAX_FACTS or not _is_short(value):
            return None
        if self._free:
            code = self._free.pop()
            self.values[code] = value
        else:
            code = len(self.values)
            self.values.append(value)
            self._counts.append(0)
        self._codes[_key(value)] = code
        self._within = None
        return code

    def _lists(self) -> dict[_Key, list[int]]:
        """By what is in them, the codes of lists."""
        found: dict[_Key, list[int]] = {}
        for code, value in enumerate(self.values):
            if isinstance(value, tuple):
                for element in value:
                    found.setdefault(_key(element), []).append(code)
        return found


def _key(value: Value) -> _Key:
    """Tells a truth value from the number that equals it."""
    return (bool, value) if isinstance(value, bool) else value


def _is_short(value: Value) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_TEXT
    if isinstance(value, tuple) and value and not isinstance(value[0], str):
        return len(value) <= _LONGEST_NUMBERS
    return True
