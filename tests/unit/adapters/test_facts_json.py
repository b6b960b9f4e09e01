"""Stored facts that cannot be what was written."""

import pytest

from omakase.adapters.local.facts import decode_facts
from omakase.core.errors import Corrupt


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": null}', '{"a": {}}', '{"a": [1, "b"]}', '{"a": NaN}'])
def test_are_corrupt(text):
    with pytest.raises(Corrupt, match="stored facts"):
        decode_facts(text)
