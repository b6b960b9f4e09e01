"""Estimated examinations as they are kept: what the batch job publishes and the recommenders serve by.

That of a placement lives in the model store, under a key that no model can have: a configured name never begins with
`_`.
"""

from __future__ import annotations

import json

from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.examination import Examination
from omakase.ports.model_store import ModelKey


def examination_key(placement: str) -> ModelKey:
    return ModelKey(f"_examination/{placement}")


def encode_examination(examination: Examination) -> bytes:
    """JSON: a list of probabilities by position."""
    return json.dumps(examination.shares).encode()


def decode_examination(body: bytes) -> Examination:
    """Raises: Corrupt if the bytes are not those of an examination."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"not an examination: {error}") from error
    if not isinstance(found, list) or not {type(share) for share in found} <= {int, float}:
        raise Corrupt("an examination is a JSON list of probabilities by position")
    try:
        return Examination(tuple(map(float, found)))
    except (InvalidInput, OverflowError) as error:
        raise Corrupt(f"not an examination: {error}") from error
