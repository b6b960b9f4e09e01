"""What a per-item model has learnt of each item: sums by item id, kept beside the shared ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dspr

from omakase.core.errors import Corrupt, InvalidInput

Vector: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.intp]

# After so many half-lives less is left of an item's newest example than rounding leaves of a sum.
_REMEMBERED_HALF_LIVES = 40
# Sums of real examples may fall below zero by this share of their size, by rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """Sums by item that belong to one outcome y. Shapes: moments (n, q), Σ w·y·z; energies (n,), Σ w·y²."""

    moments: Matrix
    energies: Vector


@dataclass(frozen=True, slots=True)
class ItemStatistics:
    """Sums over weighted examples (z, y…), apart by item, of which z = [1, f_context], times the 1 in its own factor.

    Shapes: item_ids has n, sorted; precision (n, q(q + 1)/2), the lower triangles by rows of Σ w·z·zᵀ; weights and
    seen_at (n,). Units: seen_at in Unix seconds, of an item's newest example.
    """

    item_ids: tuple[str, ...]
    precision: Matrix
    outcomes: Mapping[str, ItemOutcome]
    weights: Vector
    seen_at: Vector

    @classmethod
    def of(
        cls,
        item_ids: Sequence[str],
        z: Matrix,
        weights: Vector,
        changes: Mapping[str, tuple[Vector, Vector]],
        at: Vector,
    ) -> ItemStatistics:
        """Sum examples by item. `weights` is negative where an example is taken back, and 0 where it is corrected;
        `changes` holds what is added to Σ w·y and to Σ w·y², by outcome.

        Shapes: z (e, q), all others (e,). Cost: O(e·q²). Raises: InvalidInput if a number is not finite.
        """
        ids = tuple(sorted(set(item_ids)))
        where = {item_id: place for place, item_id in enumerate(ids)}
        places = np.fromiter((where[item_id] for item_id in item_ids), dtype=np.intp, count=len(item_ids))
        n, q = len(ids), z.shape[1]
        precision = np.zeros((n, q * (q + 1) // 2))
        # BLAS adds w·zzᵀ to a packed triangle in place; counting by columns, it calls this one the upper.
        for place, weight, row in zip(places.tolist(), weights.tolist(), z, strict=True):
            dspr(q, weight, row, precision[place], overwrite_ap=1)
        outcomes = {}
        for name, (change, energy) in changes.items():
            outcome = ItemOutcome(np.zeros((n, q)), np.zeros(n))
            np.add.at(outcome.moments, places, change[:, np.newaxis] * z)
            np.add.at(outcome.energies, places, energy)
            outcomes[name] = outcome
        total, seen_at = np.zeros(n), np.full(n, -np.inf)
        np.add.at(total, places, weights)
        np.maximum.at(seen_at, places, at)
        found = cls(ids, precision, outcomes, total, seen_at)
        if not found.is_finite:
            raise InvalidInput("an example holds a number that is not finite")
        return found

    @property
    def width(self) -> int:
        """q."""
        return (isqrt(8 * self.precision.shape[1] + 1) - 1) // 2

    @property
    def is_finite(self) -> bool:
        arrays = [self.precision, self.weights, self.seen_at]
        for outcome in self.outcomes.values():
            arrays += [outcome.moments, outcome.energies]
        return all(bool(np.isfinite(array).all()) for array in arrays)

    def aged(self, factor: float) -> ItemStatistics:
        """The same examples, weighing `factor` of what they did."""
        if not self.item_ids or factor == 1.0:
            return self
        outcomes = {name: ItemOutcome(factor * o.moments, factor * o.energies) for name, o in self.outcomes.items()}
        return replace(self, precision=factor * self.precision, outcomes=outcomes, weights=factor * self.weights)

    def remembered(self, as_of: float, half_life_s: float) -> ItemStatistics:
        """Without the items whose newest example is 40 half-lives old: 10⁻¹² of it was left.

        Guarantees: nothing is dropped for being little, and without a half-life nothing is dropped at all.
        """
        kept = self.seen_at >= as_of - _REMEMBERED_HALF_LIVES * half_life_s
        return self if kept.all() else self.taken(np.flatnonzero(kept))

    def taken(self, places: Places) -> ItemStatistics:
        """Some of the items. Shapes: places ascending."""
        return ItemStatistics(
            tuple(self.item_ids[place] for place in places.tolist()),
            self.precision[places],
            {name: ItemOutcome(o.moments[places], o.energies[places]) for name, o in self.outcomes.items()},
            self.weights[places],
            self.seen_at[places],
        )

    def check(self) -> None:
        """Raises: Corrupt if these cannot be the sums of real examples, up to rounding. Cost: O(n·q²)."""
        if not self.is_finite:
            raise Corrupt("an item's sums must be finite")
        squares = self.precision[:, diagonal(self.width)]
        slack = -_ROUNDING * np.maximum(squares.max(axis=1, initial=1.0), self.weights.max(initial=1.0))
        if (squares < slack[:, np.newaxis]).any() or (self.weights < slack).any():
            raise Corrupt("an item's weights and squares cannot sum to less than nothing")

    def __add__(self, other: ItemStatistics) -> ItemStatistics:
        """Merge by id. Guarantees: commutative, and associative up to rounding; `NO_ITEMS` is neutral.

        Raises: InvalidInput if the widths differ.
        """
        if not (self.item_ids and other.item_ids):
            return self if self.item_ids else other
        if self.width != other.width:
            raise InvalidInput(f"cannot add items' sums of {other.width} to {self.width} dimensions")
        item_ids = self.item_ids
        known = set(item_ids)
        if not known.issuperset(other.item_ids):
            item_ids = tuple(sorted(known.union(other.item_ids)))
        mine, theirs = self._spread(item_ids), other._places_in(item_ids)
        mine.precision[theirs] += other.precision
        for name, outcome in other.outcomes.items():
            if name in mine.outcomes:
                mine.outcomes[name].moments[theirs] += outcome.moments
                mine.outcomes[name].energies[theirs] += outcome.energies
        added = other.outcomes.keys() - mine.outcomes.keys()
        outcomes = {**mine.outcomes, **{name: other._spread(item_ids).outcomes[name] for name in added}}
        mine.weights[theirs] += other.weights
        mine.seen_at[theirs] = np.maximum(mine.seen_at[theirs], other.seen_at)
        return replace(mine, outcomes=outcomes)

    def _places_in(self, item_ids: tuple[str, ...]) -> Places:
        where = {item_id: place for place, item_id in enumerate(item_ids)}
        return np.fromiter((where[item_id] for item_id in self.item_ids), dtype=np.intp, count=len(self.item_ids))

    def _spread(self, item_ids: tuple[str, ...]) -> ItemStatistics:
        """A copy with rows for all of `item_ids`, of which its own are some."""
        places = slice(None) if item_ids == self.item_ids else self._places_in(item_ids)
        n = len(item_ids)

        def spread(rows: NDArray[np.float64], nothing: float = 0.0) -> NDArray[np.float64]:
            whole = np.full((n, *rows.shape[1:]), nothing)
            whole[places] = rows
            return whole

        outcomes = {name: ItemOutcome(spread(o.moments), spread(o.energies)) for name, o in self.outcomes.items()}
        return ItemStatistics(
            item_ids, spread(self.precision), outcomes, spread(self.weights), spread(self.seen_at, -np.inf)
        )


NO_ITEMS = ItemStatistics((), np.zeros((0, 0)), {}, np.zeros(0), np.zeros(0))


@lru_cache(maxsize=256)
def diagonal(q: int) -> Places:
    """Where the numbers of the diagonal are in a packed lower triangle. Shapes: (q,)."""
    return np.cumsum(np.arange(1, q + 1)) - 1
