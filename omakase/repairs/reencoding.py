"""Logged facts to the features of another specification."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache

from omakase.core.errors import InvalidFeature
from omakase.core.features import Factor, FeatureSpec
from omakase.core.values import Facts, facts_of

# Items repeat, and so do the contexts of one slate: of each side this many are remembered.
_REMEMBERED = 50_000


class Encoder:
    """Encodes facts as they were logged, JSON texts. Cost: a JSON object is read once while it is remembered."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.item = _remembering(spec.encode_item)
        self.context = _remembering(spec.encode_context)


def _remembering(encode: Callable[[Facts], Factor]) -> Callable[[str], Factor]:
    """Raises, when called: InvalidFeature if a fact does not fit its feature."""

    @lru_cache(maxsize=_REMEMBERED)
    def encoded(logged: str) -> Factor:
        facts = json.loads(logged)
        if not isinstance(facts, dict):
            raise InvalidFeature(f"logged facts are no object: {logged[:80]}")
        return encode(facts_of(facts))

    return encoded
