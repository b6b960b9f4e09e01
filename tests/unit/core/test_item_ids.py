from __future__ import annotations

import numpy as np
import pytest

from omakase.core.item_ids import UNKNOWN, ItemIds


def test_is_the_sequence_of_ids_that_it_was_made_of() -> None:
    texts = ["a", "ø ✓", "ab", "b" * 256]
    ids = ItemIds(iter(texts))
    assert (list(ids), len(ids), ids[1], ids[-1], ids[1:3]) == (texts, 4, "ø ✓", "b" * 256, ["ø ✓", "ab"])
    assert "ab" in ids
    with pytest.raises(IndexError):
        ids[4]
    with pytest.raises(IndexError):
        ids[-5]


def test_finds_every_id_and_nothing_else() -> None:
    ids = ItemIds(f"i{n}" for n in range(5000))
    asked = [f"i{n}" for n in range(4990, 5010)]
    assert ids.places(asked).tolist() == [*range(4990, 5000), *[UNKNOWN] * 10]
    assert ids.places([]).size == 0
    assert ItemIds([]).places(["a"]).tolist() == [UNKNOWN]


def test_tells_ids_apart_whose_hashes_are_equal() -> None:
    ids = ItemIds(["a", "b", "c"])
    ids._hashes = np.full(3, hash("b"), dtype=np.int64)  # as if all three had the hash of b
    assert ids.places(["b", "a", "x"]).tolist() == [1, UNKNOWN, UNKNOWN]
    ids._texts = ItemIds(["x", "y", "z"])._texts
    assert ids.places(["b"]).tolist() == [UNKNOWN]


def test_a_catalogue_continues_another_where_old_ids_keep_their_places() -> None:
    old = ItemIds(["a", "bc", "d"])
    assert old.continues(ItemIds([]))
    assert old.continues(ItemIds(["a", "bc", "d"]))
    assert ItemIds(["a", "bc", "d", "e"]).continues(old)
    for other in (["a", "bc"], ["bc", "a", "d"], ["ab", "c", "d"], ["a", "bc", "e", "d"], []):
        assert not ItemIds(other).continues(old)
