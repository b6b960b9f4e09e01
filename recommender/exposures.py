"""How often this process delivered each item lately, so that a few pieces are not shown to everybody."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np
from numpy.typing import NDArray

from omakase.core.catalogue import Catalogue, Mask
from omakase.core.item_ids import UNKNOWN
from omakase.core.top import Indices
from recommender.displays import Display

# The window moves in steps of this part of it.
_SLICES = 20


class Exposures:
    """Deliveries of one placement in a sliding window.

    Guarantees: in no window does this process deliver an item more often than its limit; what it delivered may count
    for a twentieth of the window longer. A restart begins with nothing, and other replicas count for themselves.
    Cost: O(1) a delivery, spread over time; memory: an entry for each item in each twentieth in which it was delivered;
    and where the catalogue has changed O(n) once, at the speed of memory as long as items keep their places.
    """

    def __init__(self) -> None:
        self._catalogue = Catalogue()
        self._limits: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._counts: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._slices: deque[tuple[int, Counter[int]]] = deque()
        self._spent: Mask = np.empty(0, dtype=np.bool_)
        self._spent_count = 0

    def spent(self, display: Display, now: float) -> Mask | None:
        """Which items have had their share; None where none has. Shapes: (n,), not to be written to."""
        if display.limits is None:
            raise ValueError(f"nothing is limited at {display.placement}")
        if display.catalogue is not self._catalogue:
            self._bind(display.catalogue)
        if display.limits is not self._limits:
            self._limits = display.limits
            self._spent = self._counts >= self._limits
            self._spent_count = int(self._spent.sum())
        number = int(now / display.limit_window_s * _SLICES)
        if self._slices and self._slices[-1][0] > number:  # the clock went back: what is of later was a moment ago
            self._slices = deque((min(at, number), counts) for at, counts in self._slices)
        self._forget_before(number - _SLICES)
        return self._spent if self._spent_count else None

    def add(self, display: Display, delivered: Indices, now: float) -> None:
        """Call after `spent`, with the same display."""
        number = int(now / display.limit_window_s * _SLICES)
        if not self._slices or self._slices[-1][0] < number:
            self._slices.append((number, Counter()))
        self._slices[-1][1].update(delivered.tolist())
        self._change(delivered, 1)

    def _forget_before(self, number: int) -> None:
        """Slices are kept for one longer than the window, for the first is cut anywhere."""
        while self._slices and self._slices[0][0] < number:
            _, counts = self._slices.popleft()
            places = np.fromiter(counts.keys(), dtype=np.intp, count=len(counts))
            self._change(places, -np.fromiter(counts.values(), dtype=np.int64, count=len(counts)))

    def _change(self, places: Indices, by: int | NDArray[np.int64]) -> None:
        before = int(self._spent[places].sum())
        self._counts[places] += by
        self._spent[places] = self._counts[places] >= self._limits[places]
        self._spent_count += int(self._spent[places].sum()) - before

    def _bind(self, catalogue: Catalogue) -> None:
        before = self._catalogue.item_ids
        counted = np.flatnonzero(self._counts)
        if catalogue.item_ids.continues(before):
            places = counted
        else:
            places = catalogue.places([before[i] for i in counted.tolist()])
            moved = dict(zip(counted.tolist(), places.tolist(), strict=True))
            self._slices = deque(
                (number, Counter({moved[i]: n for i, n in counts.items() if moved[i] != UNKNOWN}))
                for number, counts in self._slices
            )
        counts = np.zeros(len(catalogue), dtype=np.int64)
        counts[places[places != UNKNOWN]] = self._counts[counted[places != UNKNOWN]]
        self._catalogue, self._counts = catalogue, counts
