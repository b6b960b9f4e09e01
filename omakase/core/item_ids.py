"""The ids of a catalogue, and where each is."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from typing import overload

import numpy as np
from numpy.typing import NDArray

from omakase.core.packed import Packed

UNKNOWN = -1
# While so many are hashed no other thread runs: a millisecond.
_TOGETHER = 20_000


class ItemIds(Sequence[str]):
    """In catalogue order; each is decoded when it is asked for. Immutable.

    A dictionary of a million ids takes 150 MB. Here their hashes are sorted beside the packed texts, 30 bytes an id of
    ten characters, and what is found by its hash is compared with the text.
    """

    def __init__(self, item_ids: Iterable[str]) -> None:
        self._texts = Packed()
        self._hashes, self._places = _taken(item_ids, self._texts)

    def followed_by(self, item_ids: Iterable[str]) -> ItemIds:
        """These ids and behind them others, all new. Cost: O(n) at the speed of memory, and a µs for each new one."""
        longer = copy(self)
        longer._texts = self._texts.amended({})
        hashes, places = _taken(item_ids, longer._texts)
        # Of equal hashes the first id is the first.
        at = np.searchsorted(self._hashes, hashes, side="right")
        longer._hashes = np.insert(self._hashes, at, hashes)
        longer._places = np.insert(self._places, at, places)
        return longer

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, i: int) -> str: ...

    @overload
    def __getitem__(self, i: slice) -> list[str]: ...

    def __getitem__(self, i: int | slice) -> str | list[str]:
        if isinstance(i, slice):
            return [self._texts[j].decode() for j in range(*i.indices(len(self)))]
        return self._texts[range(len(self))[i]].decode()

    def __iter__(self) -> Iterator[str]:
        return (self._texts[i].decode() for i in range(len(self)))

    def places(self, item_ids: Sequence[str]) -> NDArray[np.intp]:
        """Where each of `item_ids` is; UNKNOWN where it is not. Shapes: (k,). Cost: O(k log n), about a µs an id."""
        if len(item_ids) <= _TOGETHER:
            return self._places_of(item_ids)
        starts = range(0, len(item_ids), _TOGETHER)
        return np.concatenate([self._places_of(item_ids[start : start + _TOGETHER]) for start in starts])

    def _places_of(self, item_ids: Sequence[str]) -> NDArray[np.intp]:
        if not len(self):
            return np.full(len(item_ids), UNKNOWN, dtype=np.intp)
        wanted = np.fromiter(map(hash, item_ids), dtype=np.int64, count=len(item_ids))
        at = np.searchsorted(self._hashes, wanted)
        hits = np.flatnonzero(np.take(self._hashes, at, mode="clip") == wanted)
        firsts = at[hits]
        places = np.full(len(item_ids), UNKNOWN, dtype=np.intp)
        places[hits] = self._places[firsts]
        for i, place, first in zip(hits.tolist(), places[hits].tolist(), firsts.tolist(), strict=True):
            text = item_ids[i].encode()
            if self._texts[place] != text:
                places[i] = self._among_twins(text, first)
        return places

    def continues(self, older: ItemIds) -> bool:
        """Whether the older ids are all in their places, and new ones only behind them. Cost: as fast as memory."""
        return self._texts.continues(older._texts)

    def _among_twins(self, text: bytes, first: int) -> int:
        """Of the ids of one hash, of which `first` is the first."""
        for at in range(first, len(self)):
            if self._hashes[at] != self._hashes[first]:
                break
            if self._texts[self._places.item(at)] == text:
                return self._places.item(at)
        return UNKNOWN


def _taken(item_ids: Iterable[str], texts: Packed) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Put them behind `texts`. Returns their hashes, sorted, and where the id of each is."""
    first, hashes = len(texts), array("q")
    for item_id in item_ids:
        texts.append(item_id.encode())
        hashes.append(hash(item_id))
    unsorted = np.frombuffer(hashes, dtype=np.int64)
    order = np.argsort(unsorted, kind="stable")
    return unsorted[order], (order + first).astype(np.int32)
