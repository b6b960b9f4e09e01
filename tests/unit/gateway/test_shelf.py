from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shelf import Shelf, order_of
from omakase.core.catalogue import Catalogue, Item
from omakase.core.errors import Corrupt
from omakase.popularity import decode_popularity

ids = st.lists(st.text("abc", min_size=1, max_size=3), unique=True)


@given(ids, st.lists(st.text("abc", min_size=1, max_size=3)))
def test_has_every_item_once_popular_ones_first_the_others_in_catalogue_order(item_ids, popular):
    order = order_of(Catalogue(tuple(Item(item_id) for item_id in item_ids)), tuple(popular))
    ordered = [item_ids[i] for i in order]
    known = [item_id for item_id in dict.fromkeys(popular) if item_id in item_ids]
    assert ordered == known + [item_id for item_id in item_ids if item_id not in known]


@given(ids, st.integers(1, 5), st.sets(st.text("abc", min_size=1, max_size=2)))
def test_shows_the_first_eligible_items(item_ids, limit, excluded):
    catalogue = Catalogue(tuple(Item(item_id) for item_id in item_ids))
    shelf = Shelf(catalogue, {"home": order_of(catalogue, tuple(reversed(item_ids)))})
    items, _ = shelf.best("home", limit, sorted(excluded), None)
    allowed = [item_id for item_id in reversed(item_ids) if item_id not in excluded]
    assert [item.item_id for item in items] == allowed[:limit]


@pytest.mark.parametrize("body", [b"", b"\xff", b"{}", b'["a", 1]', b"null", b'"a"'])
def test_refuses_a_popularity_snapshot_that_is_no_list_of_ids(body):
    with pytest.raises(Corrupt):
        decode_popularity(body)
