"""Clicks and impressions by item: what the job `context-free` publishes and what needs no model ranks by.

The counts of a placement live in the model store, under a key that no model can have: a configured name never begins
with `_`.
"""

from __future__ import annotations

import json

import numpy as np

from omakase.core.counts import Counts
from omakase.core.errors import Corrupt, InvalidInput
from omakase.ports.model_store import ModelKey

_PREFIX = "_counts/"


def counts_key(placement: str) -> ModelKey:
    return ModelKey(f"{_PREFIX}{placement}")


def is_model(key: ModelKey) -> bool:
    """Whether what is kept under a key is a model."""
    return not key.startswith("_")


def encode_counts(counts: Counts) -> bytes:
    """JSON: impressions and clicks by item id."""
    columns = zip(counts.item_ids, counts.impressions.tolist(), counts.clicks.tolist(), strict=True)
    return json.dumps({item_id: [seen, clicked] for item_id, seen, clicked in columns}, separators=(",", ":")).encode()


def decode_counts(body: bytes) -> Counts:
    """Raises: Corrupt if the bytes are not those of counts."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"not the counts of a placement: {error}") from error
    if not isinstance(found, dict) or not all(map(_is_pair, found.values())):
        raise Corrupt("the counts of a placement are a JSON object of item ids, each with its impressions and clicks")
    try:
        amounts = np.array(list(found.values()), dtype=np.float64).reshape(-1, 2)
        return Counts(tuple(found), amounts[:, 0].copy(), amounts[:, 1].copy())
    except (InvalidInput, OverflowError) as error:
        raise Corrupt(f"not the counts of a placement: {error}") from error


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and {type(amount) for amount in value} <= {int, float}
