"""The best k of many scores: of one row of them, or of the rows of a product that is never held as a whole.

Scores are looked at in blocks that fit the cache. Once k are known, only what beats the least of them is looked at
again, so that a long row costs one comparison a score.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.core.catalogue import Mask

Indices: TypeAlias = NDArray[np.intp]
Numbers: TypeAlias = NDArray[np.floating]

_NOBODY: Indices = np.empty(0, dtype=np.intp)
# The first block finds a bar for the others to beat, and is sorted out whole: it is shorter.
_FIRST = 4096
_BLOCK = 65_536
# What a block of a product may have in scores, all its rows together: a quarter of a megabyte, which the cache keeps.
_BLOCK_SCORES = 65_536
_FOLDED = 128
# Copying the rows that are wanted pays where at most this share of them is.
_SPARSE = 0.5


def best(scores: Numbers, eligible: Mask, k: int) -> Indices:
    """Indices of the k highest eligible scores, highest first; fewer where fewer are eligible.

    Guarantees: of equal scores the lowest index comes first; NaN counts as -inf. Shapes: scores and eligible (n,).
    Cost: O(n + k log k); the scores are not copied.
    """
    if k <= 0:
        return _NOBODY
    first = eligible[:_FIRST]
    if np.count_nonzero(first) == first.size:
        found = _highest(scores[:_FIRST], k)
    else:
        found = np.flatnonzero(first)
        found = found[_highest(scores[found], k)]
    for start in range(_FIRST, scores.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        if found.size < k:
            hits = np.flatnonzero(eligible[block])
        else:
            # Not `>`: where k are found and the last of them is NaN, everything beats it.
            hits = np.flatnonzero(eligible[block] > (scores[block] <= scores[found[-1]]))
        if hits.size:
            found = np.concatenate((found, hits + start))
            found = found[_highest(scores[found], k)]
    return found


def best_of_products(
    factors: NDArray[np.float32],
    weights: NDArray[np.float32],
    eligible: Mask,
    k: int,
    values: NDArray[np.float32] | None = None,
) -> list[Indices]:
    """For each row w of `weights`, the `best` of the scores factors @ w, times `values` where they are given.

    Shapes: factors (n, p), contiguous; weights (b, p); eligible (n,) for all rows or (b, n); values (n,). Returns b.
    Guarantees: holds one block of the products at a time, and reads each factor from memory once for all rows.
    Cost: O(n·b·p), n being the items that are eligible for some row where these are at most half.
    """
    field = _Field(len(weights), max(k, 0))
    masks = np.broadcast_to(eligible, (len(weights), len(factors)))
    for rows, block in _rows(factors, eligible, max(_BLOCK_SCORES // max(len(weights), 1), 256)):
        scores = block @ weights.T
        if values is not None:
            scores *= values[rows, np.newaxis]
        places, takers = _above(scores, field.bars)
        if not places.size:
            continue
        indices = places + rows.start if isinstance(rows, slice) else rows[places]
        may = masks[takers, indices]
        field.offer(takers[may], indices[may], scores[places[may], takers[may]])
    return field.winners()


class _Field:
    """The best k of each of b races so far, among those that were offered, which come in the order of indices.

    `bars` is what a later one must beat to be among them, as far as is known; NaN, which nothing is below or at, while
    there are fewer than k. Offers wait until there are enough of them to be worth sorting. Shapes: bars (b,).
    """

    def __init__(self, races: int, k: int) -> None:
        self._k = k
        self._enough = 2 * races * k
        self._waiting = 0
        nobody = (_NOBODY, _NOBODY, np.empty(0, dtype=np.float32))
        self._offers: list[tuple[Indices, Indices, Numbers]] = [nobody]
        self.bars = np.full(races, np.nan if k else np.inf, dtype=np.float32)

    def offer(self, races: Indices, indices: Indices, scores: Numbers) -> None:
        """Shapes: all alike."""
        if races.size:
            self._offers.append((races, indices, scores))
            self._waiting += races.size
        if self._waiting >= self._enough:
            self._settle()

    def winners(self) -> list[Indices]:
        """The indices of each race, best first."""
        races, indices, _ = self._settle()
        return np.split(indices, np.searchsorted(races, np.arange(1, self.bars.size))) if self.bars.size else []

    def _settle(self) -> tuple[Indices, Indices, Numbers]:
        races, indices, scores = (np.concatenate(parts) for parts in zip(*self._offers, strict=True))
        scores = np.where(np.isnan(scores), -np.inf, scores)
        order = np.lexsort((indices, -scores, races))
        sorted_races = races[order]
        starts = np.searchsorted(sorted_races, np.arange(self.bars.size))
        places = np.arange(order.size) - starts[sorted_races]
        kept = order[places < self._k]
        last = order[places == self._k - 1]
        self.bars[races[last]] = scores[last]
        self._offers, self._waiting = [(races[kept], indices[kept], scores[kept])], 0
        return self._offers[0]


def _highest(scores: Numbers, k: int) -> Indices:
    """The places of the k highest, highest first, of equal ones the first first; NaN last."""
    if scores.size > k:
        least = np.partition(scores, scores.size - k)[scores.size - k]
        places = np.flatnonzero(scores >= least)
        if places.size >= k:  # else NaN, which partitions as the highest, has taken places from others
            return places[np.argsort(-scores[places], kind="stable")[:k]]
    return np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")[:k]


def _above(scores: Numbers, bars: Numbers) -> tuple[Indices, Indices]:
    """Rows and columns of the scores that are not at or below the bar of their column; in no order.

    Almost none is, so only the best of some fifty rows is compared. Shapes: scores (r, b), bars (b,).
    """
    folded = scores
    while len(folded) % 2 == 0 and len(folded) > _FOLDED:
        half = len(folded) // 2
        folded = np.maximum(folded[:half], folded[half:])  # which is NaN where one of them is
    found = np.flatnonzero(~(folded <= bars))
    if not found.size:
        return _NOBODY, _NOBODY
    groups, columns = np.divmod(found, bars.size)
    rows = (groups[:, np.newaxis] + np.arange(0, len(scores), len(folded))).ravel()
    columns = np.repeat(columns, rows.size // groups.size)
    above = ~(scores[rows, columns] <= bars[columns])
    return rows[above], columns[above]


def _rows(
    factors: NDArray[np.float32], eligible: Mask, size: int
) -> Iterator[tuple[slice | Indices, NDArray[np.float32]]]:
    """Blocks of rows and which they are: all rows, or copies of the eligible ones where those are few."""
    wanted = eligible if eligible.ndim == 1 else eligible.any(axis=0)
    if np.count_nonzero(wanted) > _SPARSE * wanted.size:
        for start, stop in _spans(len(factors), size):
            yield slice(start, stop), factors[start:stop]
    else:
        places = np.flatnonzero(wanted)
        for start, stop in _spans(places.size, size):
            yield places[start:stop], factors[places[start:stop]]


def _spans(total: int, size: int) -> Iterator[tuple[int, int]]:
    start, stop = 0, size // 16
    while start < total:
        yield start, min(stop, total)
        start, stop = stop, stop + size
