"""Which items are clicked most at a placement: what the hourly job publishes and the fallback ranks by.

A popularity list lives in the model store, under a key that no model can have: a configured name never begins with `_`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from omakase.core.errors import Corrupt
from omakase.ports.model_store import ModelKey

_PREFIX = "_popularity/"


def popularity_key(placement: str) -> ModelKey:
    return ModelKey(f"{_PREFIX}{placement}")


def is_popularity(key: ModelKey) -> bool:
    return key.startswith(_PREFIX)


def encode_popularity(item_ids: Sequence[str]) -> bytes:
    """Best first."""
    return json.dumps(list(item_ids)).encode()


def decode_popularity(body: bytes) -> tuple[str, ...]:
    """Raises: Corrupt if the bytes are not a JSON list of item ids."""
    try:
        ids = json.loads(body)
    except ValueError as error:
        raise Corrupt(f"not a popularity snapshot: {error}") from error
    if not isinstance(ids, list) or not all(isinstance(item_id, str) for item_id in ids):
        raise Corrupt("a popularity snapshot is a JSON list of item ids")
    return tuple(ids)
