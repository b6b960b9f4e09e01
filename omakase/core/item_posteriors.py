"""Posteriors of items, many small ones: factored when their sums have changed, solved for means, asked for variances.

All matrices are packed lower triangles by rows, which BLAS and LAPACK, counting by columns, call packed upper ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dspmv
from scipy.linalg.lapack import dpptrf, dpptri, dtrtri

from omakase.core.errors import Corrupt
from omakase.core.item_statistics import ItemStatistics, Matrix, Places, Vector, diagonal

# Beyond this condition number zᵀP⁻¹z loses its digits to cancellation in float32, and ‖L⁻¹z‖² does not.
_ILL_CONDITIONED = 1e6
# Deviations need not be known to more than half a per cent.
_TOLERANCE = 0.01
# Bounds are to hold in float32 as well.
_SLACK = 1e-4


@dataclass(frozen=True, slots=True)
class ItemPosteriors:
    """What is needed of the inverse of each item's P = prior_precision·I + A.

    Guarantees: of P and the one that was factored neither is more than 1 % above the other, in any direction.
    Shapes: covariance (n, q(q + 1)/2), the triangles of P⁻¹; doubled as well, in float32, with what is off the diagonal
    counted twice; conditions (n,), upper bounds of P's condition numbers; drifts (n,), how far A is at most, in its
    Frobenius norm, from that which was factored; least and most (n,), bounds of the eigenvalues of P⁻¹.
    """

    items: ItemStatistics
    prior_precision: float
    covariance: Matrix
    doubled: NDArray[np.float32]
    conditions: Vector
    drifts: Vector
    least: NDArray[np.float32]
    most: NDArray[np.float32]

    @classmethod
    def of(cls, items: ItemStatistics, prior_precision: float, before: ItemPosteriors | None = None) -> ItemPosteriors:
        """Factor those that have changed too much since `before`; without it, all.

        Cost: O(q³) each of these, O(n·q²) for the others. Raises: Corrupt if a precision is not positive definite.
        """
        n, q = len(items.item_ids), items.width
        if before is None or before.prior_precision != prior_precision or before.items.width != q:
            size = items.precision.shape
            covariance, doubled = np.empty(size), np.empty(size, np.float32)
            conditions, drifts = np.empty(n), np.full(n, np.inf)
            least, most = np.empty(n, np.float32), np.empty(n, np.float32)
        else:
            old, drifts = before._drifted(items)
            covariance, doubled, conditions = before.covariance[old], before.doubled[old], before.conditions[old]
            least, most = before.least[old], before.most[old]
        # P is at least the prior, so what is below a share of it changes P by no more than that share.
        stale = np.flatnonzero(~(drifts <= _TOLERANCE * prior_precision))
        fresh = items.precision[stale]
        fresh[:, diagonal(q)] += prior_precision
        norms = _norms(fresh, q)
        for place, packed in zip(stale.tolist(), fresh, strict=True):
            factor, fault = dpptrf(q, packed, overwrite_ap=1)
            if fault:
                raise Corrupt(f"the precision of item {items.item_ids[place]!r} is not positive definite")
            dpptri(q, factor, overwrite_ap=1)
        covariance[stale], doubled[stale] = fresh, fresh * _twice(q)
        conditions[stale], drifts[stale] = norms * _norms(fresh, q), 0.0
        least[stale], most[stale] = _extremes(fresh, q)
        return cls(items, prior_precision, covariance, doubled, conditions, drifts, least, most)

    def _drifted(self, items: ItemStatistics) -> tuple[Places, Vector]:
        """Where each of `items` was, and how far it is from what was factored; 0, and infinitely far, if it is new."""
        known, n = self.items.item_ids, len(items.item_ids)
        if items.item_ids == known:
            return np.arange(n), self.drifts + _norms(items.precision - self.items.precision, items.width)
        where = {item_id: place for place, item_id in enumerate(known)}
        old = np.array([where.get(item_id, -1) for item_id in items.item_ids], dtype=np.intp)
        drifts, kept = np.full(n, np.inf), np.flatnonzero(old >= 0)
        change = items.precision[kept] - self.items.precision[old[kept]]
        drifts[kept] = self.drifts[old[kept]] + _norms(change, items.width)
        return np.maximum(old, 0), drifts

    def solved(self, places: Places, right: Matrix) -> Matrix:
        """P⁻¹·right of some items. Shapes: right (k, q) gives (k, q). Cost: O(k·q²)."""
        return product(self.covariance, places, right)

    def variances(self, places: Places) -> Variances:
        """Those of some items, ready to serve. Cost: O(k·q²), and O(q³) each that is ill-conditioned."""
        ill = np.flatnonzero(self.conditions[places] > _ILL_CONDITIONED)
        roots = np.array([self._root(place) for place in places[ill].tolist()], dtype=np.float32)
        q, is_whole = self.items.width, np.array_equal(places, np.arange(len(self.doubled)))
        doubled = self.doubled if is_whole else self.doubled[places]
        return Variances(doubled, ill, roots.reshape(ill.size, q, q), self.least[places], self.most[places])

    def _root(self, place: int) -> Matrix:
        """L⁻¹, where P = L·Lᵀ."""
        q = self.items.width
        packed = self.items.precision[place].copy()
        packed[diagonal(q)] += self.prior_precision
        factor, _ = dpptrf(q, packed, overwrite_ap=1)
        lower = np.zeros((q, q))
        lower[np.tril_indices(q)] = factor
        root, _ = dtrtri(lower, lower=1)
        return np.asarray(root)


@dataclass(frozen=True, slots=True)
class Variances:
    """zᵀP⁻¹z of k items, in float32.

    Shapes: doubled (k, q(q + 1)/2), as in ItemPosteriors; roots (j, q, q) are L⁻¹ of the items `ill`, (j,), of which
    the triangles have lost their digits; least and most (k,) bound each between them, times zᵀz.
    """

    doubled: NDArray[np.float32]
    ill: Places
    roots: NDArray[np.float32]
    least: NDArray[np.float32]
    most: NDArray[np.float32]

    def of(self, places: Places) -> Variances:
        """Those of some of the items. Shapes: places ascending."""
        at = np.minimum(np.searchsorted(places, self.ill), max(places.size - 1, 0))
        among = np.flatnonzero(places[at] == self.ill) if self.ill.size and places.size else self.ill[:0]
        return Variances(self.doubled[places], at[among], self.roots[among], self.least[places], self.most[places])

    def along(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shapes: z (q,) gives (k,). Cost: O(k·s²), s the numbers of z that are not 0."""
        support = np.flatnonzero(z)
        if 2 * support.size**2 < z.size**2:
            part = z[support]
            rows, columns = _lower(support.size)
            places = support[rows] * (support[rows] + 1) // 2 + support[columns]
            found = self.doubled.take(places, axis=1) @ (part[rows] * part[columns])
        else:
            rows, columns = _lower(z.size)
            found = self.doubled @ (z[rows] * z[columns])
        if self.ill.size:
            found[self.ill] = np.square(self.roots @ z).sum(axis=1)
        variances: NDArray[np.float32] = np.maximum(found, 0.0, out=found)
        return variances


def product(packed: Matrix, places: Places, right: Matrix) -> Matrix:
    """Some of many symmetric matrices, each times its own vector. Shapes: packed (n, q(q + 1)/2), right (k, q)."""
    q = right.shape[1]
    pairs = zip(places.tolist(), right, strict=True)
    found: Matrix = np.array([dspmv(q, 1.0, packed[place], row) for place, row in pairs]).reshape(right.shape)
    return found


def _norms(packed: Matrix, q: int) -> Vector:
    """Frobenius norms: of a matrix and of its inverse, their product is its condition number or up to q times it."""
    norms: Vector = np.sqrt(np.square(packed) @ _twice(q))
    return norms


def _extremes(packed: Matrix, q: int) -> tuple[Vector, Vector]:
    """Below and above the eigenvalues of positive matrices, as far as their traces and norms tell. Shapes: both (k,).

    Source: Wolkowicz & Styan, "Bounds for eigenvalues using traces", Linear Algebra and its Applications 29, 1980.
    """
    mean = packed[:, diagonal(q)].sum(axis=1) / q
    spread = np.sqrt(np.maximum(_norms(packed, q) ** 2 / q - mean**2, 0.0) * (q - 1))
    return np.maximum(mean - spread, 0.0) * (1.0 - _SLACK), (mean + spread) * (1.0 + _SLACK)


@lru_cache(maxsize=256)
def _lower(q: int) -> tuple[Places, Places]:
    rows, columns = np.tril_indices(q)
    return rows, columns


@lru_cache(maxsize=256)
def _twice(q: int) -> Vector:
    rows, columns = _lower(q)
    return np.where(rows == columns, 1.0, 2.0)
