"""Counting how likely a slate was, by drawing it again and again. What the counts mean: `omakase.core.propensities`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omakase.core.beliefs import Scorer
from omakase.core.choices import Choice
from omakase.core.features import Factor
from omakase.core.filling import fill_many
from omakase.core.policies import Policy
from omakase.core.propensities import Propensities, Stopping
from omakase.core.top import Indices

# At first. Fewer at a time cost more each; more are in vain where every item has turned up before.
_BATCH_DRAWS = 64
# What a batch may have in scores: two megabytes.
_BATCH_SCORES = 500_000


def count_propensities(
    policy: Policy,
    scorer: Scorer | None,
    context: Factor,
    choice: Choice,
    indices: Indices,
    stopping: Stopping,
    rng: np.random.Generator,
) -> Propensities:
    """Count how often this slate's items turn up where they stand.

    `rng` must be independent of what drew the slate, and `stopping` of the draws. Shapes: context (m,), indices (k,).
    Cost: that of `max_draws` slates at most, in batches; a slate whose items are all likely takes fewer.
    """
    certain = _certain(choice, indices)
    wanted = np.where(certain, 0, stopping.occurrences)
    most = max(_BATCH_SCORES // (choice.eligible.size * _rows(choice)), 1)
    hits = [np.zeros((0, indices.size), dtype=np.bool_)]
    drawn, seen = 0, np.zeros(indices.size, dtype=np.int64)
    while drawn < stopping.max_draws and np.any(seen < wanted):
        count = min(max(drawn, _BATCH_DRAWS), most, stopping.max_draws - drawn)
        slates = fill_many(policy.draw(scorer, context, choice, count, rng), choice)
        hits.append(slates[:, : indices.size] == indices)
        drawn, seen = drawn + count, seen + hits[-1].sum(axis=0)
    return _estimated(np.concatenate(hits), certain, stopping.occurrences)


def _estimated(hits: NDArray[np.bool_], certain: NDArray[np.bool_], wanted: int) -> Propensities:
    """From whether each item was at its position in each draw. Shapes: hits (draws, k), certain (k,)."""
    if not len(hits):
        nothing = np.zeros(certain.size, dtype=np.int64)
        return Propensities(np.ones(certain.size), nothing, nothing, np.zeros(certain.size, dtype=np.bool_))
    counts = np.cumsum(hits, axis=0, dtype=np.int64)
    is_reached = counts >= wanted
    is_capped = ~is_reached[-1] & ~certain
    draws = np.where(is_capped, len(hits), is_reached.argmax(axis=0) + 1)
    occurrences = np.where(is_capped, counts[-1], wanted)
    propensity = np.where(certain, 1.0, (occurrences + is_capped) / (draws + is_capped))
    return Propensities(propensity, np.where(certain, 0, draws), np.where(certain, 0, occurrences), is_capped)


def _certain(choice: Choice, indices: Indices) -> NDArray[np.bool_]:
    """Which positions every slate fills alike: pinned ones, unless a slate may end before them."""
    pinned = choice.rules.pinned
    if not pinned or choice.rules.caps or indices.size < choice.k:
        return np.zeros(indices.size, dtype=np.bool_)
    return np.array([pinned.get(place) == i for place, i in enumerate(indices.tolist(), start=1)], dtype=np.bool_)


def _rows(choice: Choice) -> int:
    """How many rows of scores a draw has, at most."""
    return choice.k if choice.rules.is_per_slot else 2
