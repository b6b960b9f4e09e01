"""What can be shown."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.core.item_ids import UNKNOWN, ItemIds
from omakase.core.metadata import Metadata
from omakase.core.values import Facts, Value

Mask: TypeAlias = NDArray[np.bool_]

MAX_STOCK = 2_000_000_000
UNCOUNTED = -1
# A shop shows few of its items most of the time: so many are kept as they were made.
_REMEMBERED = 10_000
# Changed items that are looked at together: some ten megabytes of them.
_TOGETHER = 10_000
NOTHING: Facts = MappingProxyType({})
_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that can be shown.

    Units: value is what a click is worth, in the shop's currency; stock is the number of pieces, None where nobody
    counts. An item of which no piece is left is not shown, whatever `in_stock` says.
    """

    item_id: str
    metadata: Facts = field(default_factory=dict)
    value: float | None = None
    in_stock: bool = True
    hidden: bool = False
    stock: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.item_id) <= 256:
            raise InvalidInput(f"item_id must have 1 to 256 characters, not {len(self.item_id)}")
        if not self.item_id.isascii() and any("\ud800" <= character <= "\udfff" for character in self.item_id):
            raise InvalidInput(f"item_id {self.item_id!r} is not Unicode: it holds half of a surrogate pair")
        if self.value is not None and not math.isfinite(self.value):
            raise InvalidInput(f"item {self.item_id!r}: value must be a finite number")
        if self.stock is not None and not 0 <= self.stock <= MAX_STOCK:
            raise InvalidInput(f"item {self.item_id!r}: stock must be 0 to {MAX_STOCK}")


class Catalogue:
    """All items of one generation, in the order in which they were first added; immutable.

    Guarantees: an item of ten facts takes about a hundred bytes, for they are kept in columns, and an `Item` is made
    when it is asked for. Shapes: every array is (n,) and read-only. `values` are NaN and `stock` is UNCOUNTED where an
    item has none; `available` says which items may be shown at all.
    """

    def __init__(self, items: Iterable[Item] = (), generation: int = 0) -> None:
        """Takes the items one by one and keeps none. Cost: 5 µs an item, and a µs a fact."""
        self.generation = generation
        self.metadata = Metadata()
        values, stock, in_stock, hidden = array("d"), array("i"), bytearray(), bytearray()

        def taken() -> Iterator[str]:
            for item in items:
                self.metadata.append(item.metadata)
                values.append(math.nan if item.value is None else item.value)
                stock.append(UNCOUNTED if item.stock is None else item.stock)
                in_stock.append(item.in_stock)
                hidden.append(item.hidden)
                yield item.item_id

        self.item_ids = ItemIds(taken())
        self._set_columns(
            np.frombuffer(values, dtype=np.float64),
            np.frombuffer(stock, dtype=np.int32),
            np.frombuffer(in_stock, dtype=np.bool_),
            np.frombuffer(hidden, dtype=np.bool_),
        )

    def __len__(self) -> int:
        return len(self.item_ids)

    def __iter__(self) -> Iterator[Item]:
        return map(self.item, range(len(self)))

    def item(self, i: int) -> Item:
        """Equal to the one that was given. Cost: some µs, and next to nothing the next time. Raises: IndexError."""
        found = self._made.get(i)
        if found is None:
            if len(self._made) >= _REMEMBERED:
                self._made.clear()
            found = self._made[i] = self._make(i)
        return found

    def _make(self, i: int) -> Item:
        value, stock = float(self.values[i]), int(self.stock[i])
        return Item(
            self.item_ids[i],
            self.metadata[i],
            None if math.isnan(value) else value,
            bool(self._in_stock[i]),
            bool(self._hidden[i]),
            None if stock == UNCOUNTED else stock,
        )

    def places(self, item_ids: Sequence[str]) -> NDArray[np.intp]:
        """Where each of `item_ids` is, UNKNOWN where it is not. Shapes: (k,). Cost: half a µs an id."""
        return self.item_ids.places(item_ids)

    def codes(self, fact: str) -> NDArray[np.int32]:
        """Kinds of items: see `Metadata.codes`."""
        return self.metadata.codes(fact)

    def eligible(
        self, exclude: Sequence[str], candidates: Sequence[str] | None, filters: Facts = NOTHING
    ) -> tuple[Mask, list[str]]:
        """Which items may answer a request, and which named candidates may not (unknown, sold out or hidden).

        `candidates` None means the whole catalogue; an empty list means nothing. Every fact of `filters` must be, or
        have in it, one of the values given for it. Shapes: the mask is (n,), the caller's own. An excluded or filtered
        candidate is not ignored: leaving it out is what was asked for.
        Raises: InvalidInput for a fact in `filters` that no item has, or that has too many values to choose items by.
        """
        ignored: list[str] = []
        if candidates is None:
            mask = self.available.copy()
        else:
            named = list(dict.fromkeys(candidates))
            places = self.places(named)
            there = (places != UNKNOWN) & self.available[places] if len(self) else np.zeros(len(named), dtype=np.bool_)
            mask = np.zeros(len(self), dtype=np.bool_)
            mask[places[there]] = True
            ignored = [named[i] for i in np.flatnonzero(~there).tolist()]
        if exclude:
            places = self.places(exclude)
            mask[places[places != UNKNOWN]] = False
        if len(self):
            for fact, value in filters.items():
                mask &= self._having(fact, value)
        return mask, ignored

    def unavailable(self) -> dict[str, Mask]:
        """Which items may not be shown at all, by reason; an item may have two. Shapes: (n,)."""
        return {"hidden": self._hidden, "sold out": ~self._in_stock | (self.stock == 0)}

    def hiding(self, places: Sequence[int]) -> Catalogue:
        """The same items, these hidden besides; everything else is shared."""
        hidden = self._hidden.copy()
        hidden[places] = True
        shown = copy(self)
        shown._set_columns(self.values, self.stock, self._in_stock, hidden)
        return shown

    def amended(self, items: Iterable[Item], generation: int) -> Catalogue:
        """With these in place of the items of the same ids, and the new ones behind.

        Guarantees: equal to what is made anew of all items; takes them by thousands; shares what is the same: ids where
        none is new, metadata where nothing else is said of any item (see `Metadata.amended`). Cost: some 50 µs a given
        item, and for every ten thousand of them O(n) at the speed of memory.
        """
        amended = copy(self)
        amended.generation = generation
        rest = iter(items)
        while some := list(islice(rest, _TOGETHER)):
            amended = amended._with({item.item_id: item for item in some})
        return amended

    def _with(self, items: Mapping[str, Item]) -> Catalogue:
        n, places = len(self), self.places(list(items))
        new = np.flatnonzero(places == UNKNOWN)
        places[new] = np.arange(n, n + new.size)
        changed: dict[int, Facts] = {}
        added: list[Facts] = []
        for i, item in zip(places.tolist(), items.values(), strict=True):
            if i >= n:
                added.append(item.metadata)
            elif not _say_the_same(self.metadata[i], item.metadata):
                changed[i] = item.metadata
        found = copy(self)
        if new.size:
            named = list(items)
            found.item_ids = self.item_ids.followed_by([named[i] for i in new.tolist()])
        if changed or added:
            found.metadata = self.metadata.amended(changed, added)
        size, given = n + new.size, items.values()
        values = [math.nan if item.value is None else item.value for item in given]
        stock = [UNCOUNTED if item.stock is None else item.stock for item in given]
        found._set_columns(
            _patched(self.values, size, places, values),
            _patched(self.stock, size, places, stock),
            _patched(self._in_stock, size, places, [item.in_stock for item in given]),
            _patched(self._hidden, size, places, [item.hidden for item in given]),
        )
        found._made = self._made.copy()
        for i in places.tolist():
            found._made.pop(i, None)
        return found

    def _having(self, fact: str, value: Value) -> Mask:
        try:
            return self.metadata.having(fact, value)
        except InvalidInput as error:
            raise InvalidInput(f"filter: {error}") from None

    def _set_columns(self, values: NDArray[np.float64], stock: NDArray[np.int32], in_stock: Mask, hidden: Mask) -> None:
        self.values = _read_only(values)
        self.stock = _read_only(stock)
        self._made: dict[int, Item] = {}
        self._in_stock = _read_only(in_stock)
        self._hidden = _read_only(hidden)
        self.available: Mask = _read_only(in_stock & ~hidden & (stock != 0))


def _patched(
    column: NDArray[_Number], size: int, places: NDArray[np.intp], values: Sequence[float]
) -> NDArray[_Number]:
    """A longer copy, with these values in their places."""
    patched = np.empty(size, dtype=column.dtype)
    patched[: column.size] = column
    patched[places] = values
    return patched


def _say_the_same(some: Facts, others: Facts) -> bool:
    """Equal, a truth value and the number that equals it told apart."""
    return some == others and all(
        isinstance(value, bool) is isinstance(others[name], bool) for name, value in some.items()
    )


def _read_only(column: NDArray[_Number]) -> NDArray[_Number]:
    column.flags.writeable = False
    return column
