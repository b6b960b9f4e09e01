"""Counts as they are kept in the model store."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omakase.core.counts import Counts
from omakase.core.errors import Corrupt
from omakase.counts import counts_key, decode_counts, encode_counts, is_model
from omakase.ports.model_store import ModelKey

amounts = st.floats(0, 1e12, allow_subnormal=False)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), st.tuples(amounts, amounts)))
def test_counts_come_back_as_they_were(by_item: dict[str, tuple[float, float]]) -> None:
    columns = np.array(list(by_item.values())).reshape(-1, 2)
    found = decode_counts(encode_counts(Counts(tuple(by_item), columns[:, 0], columns[:, 1])))
    assert found.item_ids == tuple(by_item)
    assert found.impressions.tolist() == columns[:, 0].tolist()
    assert found.clicks.tolist() == columns[:, 1].tolist()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"null",
        b'["a", "b"]',
        b'{"a": 1}',
        b'{"a": [1]}',
        b'{"a": [1, "1"]}',
        b'{"a": [1, true]}',
        b'{"a": [1, -1]}',
        b'{"a": [1, NaN]}',
        b'{"a": [1, 1' + b"0" * 400 + b"]}",
        b"[" * 100_000,
    ],
)
def test_bytes_that_are_no_counts_are_refused(body: bytes) -> None:
    with pytest.raises(Corrupt, match="counts"):
        decode_counts(body)


def test_no_model_can_have_the_key_of_counts() -> None:
    assert not is_model(counts_key("home-top"))
    assert is_model(ModelKey("home-top/0c9a1f52ab3d"))
