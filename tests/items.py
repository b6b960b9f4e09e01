"""Examples of several items, and what a per-item model makes of them in plain words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omakase.core.item_learner import PerItemLearner
from omakase.core.refolding import ExampleColumns

M, P, Q, N = 3, 2, 4, 6
ITEM_IDS = tuple(f"i{place}" for place in range(N))
FACTORS = np.column_stack([np.ones(N), np.linspace(-1, 1, N)]).astype(np.float32)
LEARNER = PerItemLearner(M, P, item_prior_precision=3.0)
CONTEXT = np.array([0.5, -1.0, 2.0], np.float32)


def seen(rows: int, seed: int = 0, items: int = N - 1, looked_at: float = 1.0, at: float = 100.0) -> ExampleColumns:
    """New examples of the first `items`; the last of all has none."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, items, rows)
    clicks, nothing = rng.integers(0, 2, rows).astype(float), np.full(rows, np.nan)
    contexts = rng.normal(size=(rows, M)).astype(np.float32)
    return ExampleColumns(
        contexts,
        FACTORS[which] * np.float32(looked_at),
        rng.uniform(0.5, 2.0, rows),
        np.full(rows, at),
        {"click": clicks, "reward": clicks * 2.0 - 0.25},
        {"click": nothing, "reward": nothing},
        [ITEM_IDS[i] for i in which],
    )


def of_item(examples: ExampleColumns, item_id: str) -> tuple[NDArray[np.float64], NDArray[np.float64], ExampleColumns]:
    """z (e, q), Σ w·zzᵀ and the examples themselves, of one item."""
    rows = [row for row, one in enumerate(examples.item_ids) if one == item_id]
    z = np.column_stack([np.ones(len(rows)), examples.contexts[rows]]) * examples.items[rows, :1]
    return z, (z * examples.weight[rows, None]).T @ z, _taken(examples, rows)


def _taken(examples: ExampleColumns, rows: list[int]) -> ExampleColumns:
    return ExampleColumns(
        examples.contexts[rows],
        examples.items[rows],
        examples.weight[rows],
        examples.at[rows],
        {name: column[rows] for name, column in examples.after.items()},
        {name: column[rows] for name, column in examples.before.items()},
        [examples.item_ids[row] for row in rows],
    )
