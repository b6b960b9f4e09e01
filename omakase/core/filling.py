"""From drawn scores to slates: greedily, slot by slot, no item twice.

A pinned item has its slot to itself and is out of the race for the others; where it may not be shown, its slot is like
any other. It counts towards the caps, and goes before them. Where too few items may be shown the slate is shorter, and
pins move up to its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice, repeat

import numpy as np
from numpy.typing import NDArray

from omakase.core.beliefs import Scores
from omakase.core.catalogue import Mask
from omakase.core.choices import Choice
from omakase.core.policies import Draws
from omakase.core.top import Indices, best

# Of wider draws each is filled by itself, which looks at every score once and not once a slot.
_WIDE = 8192
# With caps some of the best are passed over: so many times what is needed is looked at first, then more and more.
_MARGIN = 4
_NO_ITEM = -1
_LEAST = np.finfo(np.float32).min


def fill(draws: Draws, choice: Choice, which: int = 0) -> tuple[Indices, NDArray[np.float32]]:
    """The slate of one of the draws: the items' indices and the scores that ranked them, as drawn.

    Shapes: both (k,), shorter where fewer items may be shown. Cost: O(n + k), but for caps that take long to meet.
    """
    scores = draws.scores[which]
    worth = _worth(scores, draws, choice)
    if draws.rows is None and not (choice.rules.caps or choice.rules.pinned):
        top = best(worth[0], choice.eligible, choice.k)
        return top, scores[0, top]
    if draws.rows is None:
        indices = np.array(_fill_row(worth[0], choice), dtype=np.intp)
        return indices, scores[0, indices]
    chosen = _fill_slots(worth, draws.rows[which].tolist(), choice)
    indices = np.array([item for item, _ in chosen], dtype=np.intp)
    return indices, scores[[row for _, row in chosen], indices]


def fill_many(draws: Draws, choice: Choice) -> Indices:
    """The slate of every draw, as `fill` does it; -1 where a slate is shorter. Shapes: (count, k).

    Cost: O(count·k·n), at the speed of memory; of wide draws O(count·n).
    """
    count, _, n = draws.scores.shape
    if n > _WIDE:
        slates = np.full((count, choice.k), _NO_ITEM, dtype=np.intp)
        for which in range(count):
            indices, _ = fill(draws, choice, which)
            slates[which, : indices.size] = indices
        return slates
    return _Slates(draws, choice).fill()


def _fill_row(worth: Scores, choice: Choice) -> list[int]:
    """The items of one slate, best first but for the pinned."""
    pins = _pins(choice)
    free = choice.k - len(pins)
    remaining = _Remaining(choice, list(pins.values()))
    items = list(islice(remaining.in_order(worth, free * (_MARGIN if choice.rules.caps else 1)), free))
    for slot in sorted(pins):
        items.insert(slot, pins[slot])
    return items


def _worth(scores: Scores, draws: Draws, choice: Choice) -> Scores:
    """What ranks the items. Shapes: scores and the result (…, r, n)."""
    if choice.values is None:
        return scores
    worth = scores * choice.values
    if draws.blind is not None:
        worth[..., draws.blind, :] = scores[..., draws.blind, :]
    return worth


def _fill_slots(worth: Scores, rows: list[int], choice: Choice) -> list[tuple[int, int]]:
    """The items and the rows of scores that their slots are filled from."""
    pins = _pins(choice)
    remaining = _Remaining(choice, list(pins.values()))
    needed = Counter(row for slot, row in enumerate(rows) if slot not in pins)
    races: dict[int, Iterator[int]] = {}
    chosen = []
    for slot, row in enumerate(rows):
        if slot in pins:
            chosen.append((pins[slot], row))
            continue
        if row not in races:
            # Where rows take turns, what one takes is missing in the others.
            width = choice.k if len(needed) > 1 and needed[row] > 1 else needed[row]
            races[row] = remaining.in_order(worth[row], width)
        item = next(races[row], None)
        if item is not None:
            chosen.append((item, row))
    return chosen


def _pins(choice: Choice) -> dict[int, int]:
    """Which items are pinned to which slots, counted from 0, as far as they may be shown; none twice."""
    pins: dict[int, int] = {}
    for position, item in sorted(choice.rules.pinned.items()):
        if position <= choice.k and choice.eligible[item] and item not in pins.values():
            pins[position - 1] = item
    return pins


class _Remaining:
    """What may still be put into a slate."""

    def __init__(self, choice: Choice, pinned: list[int]) -> None:
        self._eligible = choice.eligible
        self._taken = set(pinned)
        self._caps = choice.rules.caps
        self._counts: list[dict[int, int]] = [Counter(cap.codes[pinned].tolist()) for cap in self._caps]

    def in_order(self, worth: Scores, width: int) -> Iterator[int]:
        """What remains, best first, each taken as it is asked for; `width` at a time are looked for, then more."""
        while True:
            mask = self._mask()
            found = _first(worth, mask) if width == 1 else best(worth, mask, width)
            kinds = zip(*(cap.codes[found].tolist() for cap in self._caps), strict=True) if self._caps else repeat(())
            for item, kind in zip(found.tolist(), kinds, strict=False):
                if item not in self._taken and self._admits(kind):
                    self._take(item, kind)
                    yield item
            if found.size < width:
                return
            width *= _MARGIN

    def _mask(self) -> Mask:
        mask = self._eligible
        if self._taken:
            mask = mask.copy()
            mask[list(self._taken)] = False
        for cap, counts in zip(self._caps, self._counts, strict=True):
            for kind, count in counts.items():
                if kind >= 0 and count >= cap.most:
                    mask = mask & (cap.codes != kind)
        return mask

    def _admits(self, kinds: tuple[int, ...]) -> bool:
        for cap, counts, kind in zip(self._caps, self._counts, kinds, strict=True):
            if kind >= 0 and counts.get(kind, 0) >= cap.most:
                return False
        return True

    def _take(self, item: int, kinds: tuple[int, ...]) -> None:
        self._taken.add(item)
        for counts, kind in zip(self._counts, kinds, strict=True):
            counts[kind] = counts.get(kind, 0) + 1


def _first(worth: Scores, mask: Mask) -> Indices:
    """As `best` with k = 1, which is slower."""
    if not worth.size:
        return np.empty(0, dtype=np.intp)
    masked = np.where(mask, worth, -np.inf)
    place = masked.argmax()
    return np.array([place]) if masked[place] > -np.inf else best(worth, mask, 1)


class _Slates:
    """Many slates at work. Scores of what is out are -inf. Shapes: `_scores` (count, r, n)."""

    def __init__(self, draws: Draws, choice: Choice) -> None:
        worth = _worth(draws.scores, draws, choice)
        self._scores = np.fmax(worth, _LEAST)  # what is -inf or NaN may be shown, after all others
        self._rows = draws.rows
        self._every = np.arange(len(worth))
        self._k = choice.k
        self._pins = _pins(choice)
        self._caps = [(cap.codes, cap.most, _kinds(cap.codes, self._pins, len(worth))) for cap in choice.rules.caps]
        out = ~choice.eligible
        out[list(self._pins.values())] = True
        for codes, most, kinds in self._caps:
            for kind, seen in Counter(kinds[0][0].tolist()).items():
                if kind >= 0 and seen >= most:
                    out |= codes == kind
        self._scores[..., out] = -np.inf

    def fill(self) -> Indices:
        slates = np.full((len(self._every), self._k), _NO_ITEM, dtype=np.intp)
        for slot in range(self._k):
            slates[:, slot] = self._pins[slot] if slot in self._pins else self._take(slot)
        if self._pins and (slates == _NO_ITEM).any():
            return np.take_along_axis(slates, np.argsort(slates == _NO_ITEM, axis=1, kind="stable"), axis=1)
        return slates

    def _take(self, slot: int) -> Indices:
        scores = self._scores[:, 0] if self._rows is None else self._scores[self._every, self._rows[:, slot]]
        items = scores.argmax(axis=1)
        there = scores[self._every, items] > -np.inf
        self._scores[self._every[there], :, items[there]] = -np.inf
        for codes, most, kinds in self._caps:
            kind = np.where(there, codes[items], _NO_ITEM)
            seen = 1 + sum((each == kind[:, np.newaxis]).sum(axis=1) for each in kinds)
            kinds.append(kind[:, np.newaxis])
            full = np.flatnonzero((kind >= 0) & (seen >= most))
            if full.size:
                alike = codes == kind[full, np.newaxis]
                self._scores[full] = np.where(alike[:, np.newaxis], -np.inf, self._scores[full])
        return np.where(there, items, _NO_ITEM)


def _kinds(codes: NDArray[np.int32], pins: dict[int, int], count: int) -> list[NDArray[np.int32]]:
    """The kinds of what is in every slate already. Shapes: one array of (count, pins)."""
    pinned = codes[list(pins.values())]
    return [np.broadcast_to(pinned, (count, pinned.size))]
