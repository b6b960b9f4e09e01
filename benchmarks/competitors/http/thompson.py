"""Linear Thompson sampling over a fixed catalogue in numpy, as a good engineer would write it for speed."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

ITEMS, NUMBERS, TOP = 1000, 32, 10
NAMES = [f"i{i}" for i in range(ITEMS)]
DEVICES = ("ios", "android", "web", "tv")
# Indices of the best, best first; the scores that ranked them; their predicted clicks.
Ranked: TypeAlias = tuple[list[int], list[float], list[float]]


class Thompson:
    """n items of d numbers, crossed with the device and a constant: one draw of θ ranks them all.

    The context is folded into the draw, so that each request reads the items' float32 matrix once.
    """

    def __init__(self, n: int, d: int) -> None:
        rng = np.random.default_rng(1)
        width = d * (1 + len(DEVICES))
        examples = rng.standard_normal((5 * width, width))
        covariance = np.linalg.inv(examples.T @ examples)
        self._items = rng.standard_normal((n, d), dtype=np.float32)
        self._mean = rng.standard_normal(width).astype(np.float32) / 100
        self._root = np.ascontiguousarray(np.linalg.cholesky(covariance), dtype=np.float32)
        self._contexts = {
            device: np.array([1, *np.eye(len(DEVICES))[i]], dtype=np.float32) for i, device in enumerate(DEVICES)
        }
        self._unknown = np.array([1, *np.zeros(len(DEVICES))], dtype=np.float32)
        self._rng = rng

    def __call__(self, device: str, k: int) -> Ranked:
        context, parts = self._contexts.get(device, self._unknown), (len(DEVICES) + 1, -1)
        theta = self._mean + self._root @ self._rng.standard_normal(self._mean.size, dtype=np.float32)
        scores = self._items @ (context @ theta.reshape(parts))
        best = np.argpartition(scores, -k)[-k:]
        best = best[np.argsort(-scores[best])]
        predicted = self._items[best] @ (context @ self._mean.reshape(parts))
        return best.tolist(), scores[best].tolist(), predicted.tolist()
