"""The product's configuration for a log: everybody uniform on one placement, everybody learnt on the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from omakase.config import Product, load_product
from omakase.core.catalogue import Item
from omakase.core.errors import InvalidInput
from omakase.replay.items import NUMERIC_FEATURE
from omakase.replay.log import MISSING, SLOTS, Log

UNIFORM, LEARNT = "replay-uniform", "replay-learnt"
PLACEMENTS = (UNIFORM, LEARNT)

# A log has tens to thousands of clicks, of which a policy sees the matched few per cent. What it learns has to stay
# small beside that: d parameters cost d² to store and d³ to factor, and most of them would never leave the prior.
MAX_ITEM_WIDTH = 40
MAX_DIMENSIONS = 300

# A storefront asks again at once; a replay has nobody waiting and must not mistake a busy machine for a fallback.
_TIMEOUT_S = 10.0
# An impression and its click are posted together, so a session is over as soon as the clock moves on.
_SESSION_S = 1.0
# How far serving may be ahead of shipping and learning, in rows: a minute at 250 rows a second.
_ROWS_BEHIND = 15_000
_LEAST_WINDOW_S = 3600.0


def product(log: Log, items: Sequence[Item]) -> dict[str, Any]:
    """The configuration as a document of `omakase.config.schema.Product`.

    Raises: InvalidInput if there are fewer items than slots.
    """
    if len(items) < SLOTS:
        raise InvalidInput(f"{len(items)} items for {SLOTS} positions: the items file must list all that was shown")
    item = _item_features(items)
    return {
        "placements": {
            UNIFORM: _placement({"policy": "uniform"}),
            LEARNT: _placement({"policy": "linear_ts", "model": "replay"}),
        },
        "features": {"replay": {"item": item, "context": _context_features(log, 1 + _width(item))}},
        "models": {"replay": {"features": "replay", "prior_precision": 1.0}},
        "policies": {"uniform": {"type": "uniform"}, "linear_ts": {"type": "linear_ts", "exploration": 0.3}},
        "recommenders": {"main": {"timeout_s": _TIMEOUT_S}},
        "learning": {
            "session_gap_s": _SESSION_S,
            "session_max_s": 2 * _SESSION_S,
            "reward_window_s": reward_window_s(log),
            "allowed_lateness_s": _LEAST_WINDOW_S,
            "publish_interval_s": 0.0,
        },
    }


def write_product(path: Path, log: Log, items: Sequence[Item]) -> Product:
    """Write the configuration of a log as the services read it. Raises: InvalidInput."""
    path.write_text(yaml.safe_dump(product(log, items), sort_keys=False), encoding="utf-8")
    return load_product(path)


def reward_window_s(log: Log) -> float:
    """The most that the log's clock moves while _ROWS_BEHIND rows are served.

    The replay's clock runs thousands of times faster than the services' queues: with a shorter window a record that
    takes a second to ship would be a day late, and its click lost.
    """
    ahead = log.at[_ROWS_BEHIND:] - log.at[:-_ROWS_BEHIND] if len(log) > _ROWS_BEHIND else log.at[-1:] - log.at[:1]
    return max(_LEAST_WINDOW_S, float(np.ceil(ahead.max())))


def _placement(variant: dict[str, str]) -> dict[str, Any]:
    return {"slots": SLOTS, "max_limit": SLOTS, "variants": {"all": {"share": 10_000, **variant}}}


def _item_features(items: Sequence[Item]) -> list[dict[str, Any]]:
    """The number, scaled by what occurs, and the hashes with few values; those with many nearly name the item."""
    numbers = [value for item in items if isinstance(value := item.metadata.get(NUMERIC_FEATURE), float)]
    chosen: list[dict[str, Any]] = []
    if numbers and np.ptp(numbers) > 0:
        mean, scale = float(np.mean(numbers)), float(np.std(numbers))
        chosen.append({"type": "numeric", "name": NUMERIC_FEATURE, "mean": mean, "scale": scale})
    words: dict[str, Counter[str]] = {}
    for item in items:
        for name, value in item.metadata.items():
            if isinstance(value, str):
                words.setdefault(name, Counter())[value] += 1
    for name, seen in sorted(words.items(), key=lambda entry: (len(entry[1]), entry[0])):
        if len(seen) > 1 and 1 + _width(chosen) + len(seen) <= MAX_ITEM_WIDTH:
            chosen.append({"type": "categorical", "name": name, "vocabulary": sorted(seen)})
    return chosen


def _context_features(log: Log, item_width: int) -> list[dict[str, Any]]:
    """The person's features with the fewest levels, as long as d = p·(1 + m) stays moderate.

    Left out are features with many levels, which a log this size cannot fill, and `user-item_affinity_*`: one number
    per pair of person and item, zero in 95 of 100 rows, and no property of either alone.
    """
    chosen: list[dict[str, Any]] = []
    columns = zip(log.context_names, log.levels, log.contexts, strict=True)
    for name, levels, codes in sorted(columns, key=lambda column: (len(column[1]), column[0])):
        varies = len(levels) > 1 or (len(levels) == 1 and bool(np.any(codes == MISSING)))
        if varies and item_width * (1 + _width(chosen) + len(levels)) <= MAX_DIMENSIONS:
            chosen.append({"type": "categorical", "name": name, "vocabulary": sorted(levels)})
    return chosen


def _width(features: Sequence[dict[str, Any]]) -> int:
    return sum(len(feature.get("vocabulary", "1")) for feature in features)
