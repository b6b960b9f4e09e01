"""What the items of a catalogue say, spelt in codes: every different (fact, value) is kept once.

What hardly ever comes twice, such as a title or an embedding, has no code and is packed.
"""

from __future__ import annotations

import marshal
from array import array
from typing import Any, TypeAlias

from omakase.core.errors import InvalidInput
from omakase.core.kinds import MAX_KINDS, Kinds
from omakase.core.suggestion import suggest
from omakase.core.values import Facts, Value

# The codes of an item's facts, in their order, as int32; and the facts without a code, packed.
Row: TypeAlias = tuple[bytes, bytes]

PACKED = -1
# A code is the number of its fact, times this, and the code of the value among those of the fact.
VALUES = MAX_KINDS


class Vocabulary:
    """The facts that items have and the values of each. It grows while a catalogue is made or amended, then is read.

    Who holds one that was copied sees nothing of what the copy takes and gives back.
    """

    def __init__(self, older: Vocabulary | None = None) -> None:
        """Without `older` it is empty; else it starts as a copy. Cost: 10 ns a fact, and once for each that changes."""
        self._kinds: dict[str, Kinds] = {} if older is None else older._kinds.copy()
        self._by_number: list[Kinds] = [] if older is None else older._by_number.copy()
        self._own: dict[str, Kinds] = {}

    def take(self, facts: Facts) -> Row:
        """Of one more item. Cost: a µs a fact."""
        codes, packed = array("i"), []
        for name, value in facts.items():
            kinds = self._own.get(name) or self._owned(name)
            code = kinds.take(value)
            if code is None:
                codes.append(PACKED)
                packed += [name, _halved(value)]
            else:
                codes.append(kinds.number * VALUES + code)
        return codes.tobytes(), marshal.dumps(packed) if packed else b""

    def give_back(self, row: Row) -> None:
        """What `take` returned, of an item that says so no more."""
        packed = iter(_loaded(row))
        for code in array("i", row[0]):
            if code == PACKED:
                name, _ = next(packed), next(packed)
                self._owned(name).give_back(None)
            else:
                self._owned(self._by_number[code // VALUES].name).give_back(code % VALUES)

    def facts(self, row: Row) -> Facts:
        """Equal to what was taken. Cost: a µs, and what an embedding takes to unpack."""
        packed = iter(_loaded(row))
        facts: dict[str, Value] = {}
        for code in array("i", row[0]):
            if code == PACKED:
                name = next(packed)
                facts[name] = _whole(next(packed))
            else:
                kinds = self._by_number[code // VALUES]
                facts[kinds.name] = kinds.values[code % VALUES]  # type: ignore[assignment]
        return facts

    def kinds(self, fact: str) -> Kinds:
        """Raises: InvalidInput if no item has the fact, naming the nearest; or if its values are too many or long."""
        found = self._kinds.get(fact)
        if found is None or not found.is_there:
            there = [name for name, kinds in self._kinds.items() if kinds.is_there]
            raise InvalidInput(f"no item has the fact {fact!r}{suggest(fact, there)}")
        if found.is_open:
            raise InvalidInput(f"the fact {fact!r} has too many or too long values to tell kinds of items by it")
        return found

    def _owned(self, name: str) -> Kinds:
        found = self._own.get(name)
        if found is None:
            older = self._kinds.get(name)
            if older is None:
                found = Kinds(name, len(self._by_number))
                self._by_number.append(found)
            else:
                found = older.copy()
                self._by_number[found.number] = found
            self._own[name] = self._kinds[name] = found
        return found


def _halved(value: Value) -> Value | bytes:
    """A list of numbers that are exact in four bytes, as an embedding's are, takes four bytes each."""
    if isinstance(value, tuple) and value and not isinstance(value[0], str):
        halves = array("f", value)
        if tuple(halves) == value:
            return halves.tobytes()
    return value


def _whole(value: Value | bytes) -> Value:
    return tuple(array("f", value)) if isinstance(value, bytes) else value


def _loaded(row: Row) -> list[Any]:
    return marshal.loads(row[1]) if row[1] else []  # noqa: S302  # bytes that this process packed
