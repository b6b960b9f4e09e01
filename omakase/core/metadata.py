"""The facts about all items of a catalogue, a few bytes a fact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.core.packed import Packed
from omakase.core.values import Facts, Value
from omakase.core.vocabulary import VALUES, Row, Vocabulary

Codes: TypeAlias = NDArray[np.int32]
Mask: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.intp]

NONE = -1
# Columns that are kept at a time: five to eight bytes an item each.
_COLUMNS = 16
# To compare is faster than to look up, as long as there is little to compare with.
_FEW = 16
# How many changes are remembered: who is further behind looks at every item.
_CHANGES = 64


@dataclass(frozen=True, slots=True)
class _Column:
    """One fact of all items. Shapes: codes (n,), NONE where an item lacks it; `narrow`, the same in as few bytes as do,
    is what filters compare.
    """

    codes: Codes
    narrow: NDArray[np.signedinteger]

    @classmethod
    def of(cls, codes: Codes, kinds: int) -> _Column:
        codes.flags.writeable = False
        return cls(codes, codes.astype(np.min_scalar_type(-1 - kinds)))


class Metadata:
    """Items' facts in catalogue order. It grows while its catalogue is made, and is only read from then on."""

    def __init__(self, facts: Iterable[Facts] = ()) -> None:
        self._vocabulary = Vocabulary()
        self._codes, self._packed = Packed(), Packed()
        self._columns: dict[str, _Column] = {}
        self._mark = object()
        # The marks of what this came from, step by step, and which items each step changed.
        self._changes: tuple[tuple[object, Places], ...] = ()
        for one in facts:
            self.append(one)

    def append(self, facts: Facts) -> None:
        """The next item's. Cost: a µs a fact."""
        codes, packed = self._vocabulary.take(facts)
        self._codes.append(codes)
        self._packed.append(packed)

    def amended(self, changed: Mapping[int, Facts], added: Sequence[Facts] = ()) -> Metadata:
        """Another, with other facts at these places and more behind; what is the same is shared.

        Guarantees: equal to what is made anew of the same facts, but that where a fact has had too many values, it has
        too many as long as an item says one that came too late. Cost: some 20 µs an item that is changed or added, and
        O(n) at the speed of memory for each fact that was asked for.
        """
        found = Metadata()
        found._vocabulary = Vocabulary(self._vocabulary)
        for place in changed:
            found._vocabulary.give_back(self._row(place))
        taken = {place: found._vocabulary.take(facts) for place, facts in changed.items()}
        found._codes = self._codes.amended({place: codes for place, (codes, _) in taken.items()})
        found._packed = self._packed.amended({place: packed for place, (_, packed) in taken.items()})
        for facts in added:
            found.append(facts)
        places = np.array([*changed, *range(len(self), len(found))], dtype=np.intp)
        found._changes = (*self._changes, (self._mark, places))[-_CHANGES:]
        found._take_over(self._columns.copy(), places)
        return found

    def changed_since(self, older: Metadata) -> Places | None:
        """Which items have other facts than in `older`, or were not in it; ascending. None where that is not known."""
        if older is self:
            return np.empty(0, dtype=np.intp)
        for at, (before, _) in enumerate(self._changes):
            if before is older._mark:
                return np.unique(np.concatenate([places for _, places in self._changes[at:]]))
        return None

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, i: int) -> Facts:
        """Equal to what was appended. Cost: a µs, and what an embedding takes to unpack. Raises: IndexError."""
        return self._vocabulary.facts(self._row(range(len(self))[i]))

    def __iter__(self) -> Iterator[Facts]:
        return (self[i] for i in range(len(self)))

    def codes(self, fact: str) -> Codes:
        """Equal where items have the same value of `fact`, NONE where they lack it. Shapes: (n,), read-only.

        Raises: InvalidInput if no item has the fact, naming the nearest; or if its values are too many or too long.
        Cost: some 10 ns a fact of the catalogue, once.
        """
        return self._column(fact).codes

    def values(self, fact: str) -> Sequence[Value | None]:
        """What each of `codes` stands for; None where no item has it. Raises: as `codes`."""
        return self._vocabulary.kinds(fact).values

    def having(self, fact: str, wanted: Value) -> Mask:
        """Which items' `fact` is `wanted` or one of it; where the fact is a list, which have one of these in it.

        Shapes: (n,). Raises: as `codes`.
        """
        column, kinds = self._column(fact), self._vocabulary.kinds(fact)
        codes = kinds.having(wanted)
        if len(codes) > _FEW:
            # One more than there are, for NONE is looked up from the end.
            table = np.zeros(len(kinds.values) + 1, dtype=np.bool_)
            table[codes] = True
            return table[column.codes]
        mask = np.zeros(len(self), dtype=np.bool_)
        for code in codes:
            mask |= column.narrow == code
        return mask

    def _row(self, place: int) -> Row:
        return self._codes[place], self._packed[place]

    def _column(self, fact: str) -> _Column:
        column = self._columns.get(fact)
        if column is None:
            kinds = self._vocabulary.kinds(fact)
            codes, first = np.full(len(self), NONE, dtype=np.int32), 0
            for joined, sizes in self._codes.stretches():
                _read(kinds.number, joined, sizes, codes[first : first + sizes.size])
                first += sizes.size
            column = _Column.of(codes, len(kinds.values))
            if len(self._columns) >= _COLUMNS:
                self._columns.pop(next(iter(self._columns)), None)
            self._columns[fact] = column
        return column

    def _take_over(self, columns: Mapping[str, _Column], places: Places) -> None:
        """What was asked for before is there before it is asked for again."""
        rows = [self._codes[place] for place in places.tolist()]
        joined, sizes = b"".join(rows), np.array([len(row) for row in rows], dtype=np.uint32)
        for fact, column in columns.items():
            try:
                kinds = self._vocabulary.kinds(fact)
            except InvalidInput:
                continue
            patch = np.full(places.size, NONE, dtype=np.int32)
            _read(kinds.number, joined, sizes, patch)
            codes = np.empty(len(self), dtype=np.int32)
            codes[: column.codes.size] = column.codes
            codes[places] = patch
            self._columns[fact] = _Column.of(codes, len(kinds.values))
            kinds.having(())


def _read(fact: int, joined: bytes, sizes: NDArray[np.uint32], out: Codes) -> None:
    """Put down the codes of one fact. Shapes: sizes, in bytes, and out (m,), of the rows that are joined."""
    codes = np.frombuffer(joined, dtype=np.int32)
    found = np.flatnonzero(codes // VALUES == fact)
    rows = np.searchsorted(np.cumsum(sizes, dtype=np.int64), found * codes.itemsize, side="right")
    out[rows] = codes[found] % VALUES
