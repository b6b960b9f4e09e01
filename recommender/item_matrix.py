"""A catalogue encoded by one feature specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from omakase.core.beliefs import Factors
from omakase.core.catalogue import Catalogue
from omakase.core.features import FeatureSpec
from omakase.core.slates import Shown
from omakase.core.top import Indices

_CHUNK = 4096
# So many rows more than there are items, as a share of them, wait for new ones.
_SPARE = 16
# A shop shows few of its items most of the time: so many are kept as they were made.
_REMEMBERED = 10_000


class _Rows:
    """Room for rows, of which `used` are in use. These never change, for requests in flight read them; new ones are
    written behind, where nobody reads yet.
    """

    __slots__ = ("_room", "used")

    def __init__(self, used: Factors, size: int) -> None:
        """Copies `used`, which is fewer than `size`. Cost: as fast as memory."""
        self._room: Factors = np.empty((size + size // _SPARE, used.shape[1]), dtype=np.float32)
        self._room[: len(used)] = used
        self.used = self._room[: len(used)]

    def grow(self, size: int) -> Factors | None:
        """The rows that are new; None where there is no room for them."""
        if size > len(self._room):
            return None
        fresh = self._room[len(self.used) : size]
        self.used = self._room[:size]
        return fresh


@dataclass(frozen=True, slots=True)
class ItemMatrix:
    """A catalogue encoded by one feature specification.

    Shapes: factors is (n, p), contiguous. `catalogue` has the same n items in the same order; those whose metadata does
    not fit the features are hidden in it, so that they are neither shown with wrong features nor take the others down.
    `misfits` says why, by item id.
    """

    catalogue: Catalogue
    factors: Factors
    misfits: Mapping[str, str]
    _rows: _Rows | None = field(default=None, repr=False, compare=False)
    _shown: dict[int, Shown] = field(default_factory=dict, init=False, repr=False, compare=False)

    def show(self, places: Indices) -> list[Shown]:
        """The items at these places, made once. Factors are copied, lest a record in flight keep a matrix alive."""
        return [self._shown.get(i) or self._make(i) for i in places.tolist()]

    def _make(self, i: int) -> Shown:
        if len(self._shown) >= _REMEMBERED:
            self._shown.clear()
        item = self.catalogue.item(i)
        shown = self._shown[i] = Shown(item.item_id, self.factors[i].copy(), item.metadata, item.value)
        return shown

    @classmethod
    def of(cls, catalogue: Catalogue, spec: FeatureSpec, before: ItemMatrix | None = None) -> ItemMatrix:
        """Encodes what has changed since `before`, which is of the same features; without it, everything.

        Guarantees: the factors are those of `before` where no row differs, and where rows are only added the old ones
        stay where they are; else they are copied, because who holds `before` goes on reading it.
        Cost: a few microseconds an item that is encoded, and a copy at the speed of memory.
        """
        changed = None if before is None else catalogue.metadata.changed_since(before.catalogue.metadata)
        if before is None or changed is None:
            return cls._anew(catalogue, spec)
        if not changed.size:
            unfit = catalogue.places(list(before.misfits)).tolist()
            return cls(_shown(catalogue, unfit), before.factors, before.misfits, before._rows)
        encoded = np.empty((changed.size, spec.item_width), dtype=np.float32)
        reasons = _encode(catalogue, spec, changed, encoded)
        rows = _amended(before, encoded, changed, len(catalogue))
        places = catalogue.places(list(before.misfits)).tolist()
        unfit = dict(zip(places, before.misfits.values(), strict=True))
        for place in changed.tolist():
            unfit.pop(place, None)
        return cls._of(catalogue, rows, unfit | reasons)

    @classmethod
    def _anew(cls, catalogue: Catalogue, spec: FeatureSpec) -> ItemMatrix:
        rows = _Rows(np.empty((0, spec.item_width), dtype=np.float32), len(catalogue))
        fresh = rows.grow(len(catalogue))
        assert fresh is not None
        return cls._of(catalogue, rows, _encode(catalogue, spec, np.arange(len(catalogue)), fresh))

    @classmethod
    def _of(cls, catalogue: Catalogue, rows: _Rows, unfit: Mapping[int, str]) -> ItemMatrix:
        misfits = {catalogue.item_ids[place]: reason for place, reason in sorted(unfit.items())}
        return cls(_shown(catalogue, list(unfit)), rows.used, misfits, rows)


def _encode(catalogue: Catalogue, spec: FeatureSpec, places: NDArray[np.intp], out: Factors) -> dict[int, str]:
    """Items at `places`, one behind the other. Returns, by place, why some do not fit."""
    unfit: dict[int, str] = {}
    for start in range(0, places.size, _CHUNK):
        part = places[start : start + _CHUNK].tolist()
        out[start : start + _CHUNK], reasons = spec.encode_items([catalogue.metadata[place] for place in part])
        unfit.update((part[row], reason) for row, reason in reasons.items())
    return unfit


def _amended(before: ItemMatrix, encoded: Factors, places: NDArray[np.intp], size: int) -> _Rows:
    """The rows of `before` with those `encoded` in their places, the last of them behind. Shapes: places ascend."""
    old = int(np.searchsorted(places, len(before.factors)))
    differing = np.flatnonzero((before.factors[places[:old]] != encoded[:old]).any(axis=1))
    rows = before._rows
    fresh = None
    if rows is not None and rows.used is before.factors and not differing.size:
        if size == len(before.factors):
            return rows
        fresh = rows.grow(size)
    if rows is None or fresh is None:
        rows = _Rows(before.factors, size)
        rows.used[places[differing]] = encoded[differing]
        fresh = rows.grow(size)
        assert fresh is not None
    fresh[:] = encoded[old:]
    return rows


def _shown(catalogue: Catalogue, unfit: list[int]) -> Catalogue:
    return catalogue.hiding(unfit) if unfit else catalogue
