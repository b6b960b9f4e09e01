"""Facts as JSON text, the way SQLite keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from omakase.core.errors import Corrupt, InvalidFeature
from omakase.core.values import Facts, Value, facts_of


def encode_facts(facts: Facts) -> str:
    """Raises: InvalidFeature for a value that could not be read back. Guarantees: `decode_facts` returns it equal."""
    return json.dumps(facts_of(facts), separators=(",", ":"), allow_nan=False)


def decode_facts(text: str) -> dict[str, Value]:
    """Raises: Corrupt if the text is not what `encode_facts` wrote."""
    try:
        raw = json.loads(text)
        if not isinstance(raw, Mapping):
            raise Corrupt("stored facts are not an object")
        return facts_of(raw)
    except (ValueError, InvalidFeature) as error:
        raise Corrupt(f"stored facts cannot be read: {error}") from error
