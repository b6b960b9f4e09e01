from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.popularity import Popularity
from gateway.shelf import Shelf
from omakase.core.catalogue import Catalogue, Item
from omakase.core.choices import Layout
from omakase.core.counts import Counts
from omakase.core.errors import InvalidInput
from omakase.core.item_ids import ItemIds

ids = st.lists(st.text("abc", min_size=1, max_size=3), unique=True)


@given(ids, st.dictionaries(st.text("abc", min_size=1, max_size=3), st.tuples(st.integers(1, 9), st.integers(0, 1))))
def test_has_every_item_once_by_shrunk_click_rates_and_else_in_catalogue_order(item_ids, counted):
    columns = np.array(list(counted.values()), dtype=float).reshape(-1, 2)
    order = Popularity.of(Counts(tuple(counted), *columns.T), ItemIds(item_ids)).order
    rate = (columns[:, 1].sum() + 0.5) / (columns[:, 0].sum() + 1)

    def shrunk(item_id: str) -> float:
        seen, clicked = counted.get(item_id, (0, 0))
        return float((clicked + 100 * rate) / (seen + 100))

    assert sorted(order.tolist()) == list(range(len(item_ids)))
    assert (np.diff([shrunk(item_ids[i]) for i in order]) < 1e-7).all()  # in float32 what is as close as this is equal
    unseen = [i for i in order.tolist() if item_ids[i] not in counted]
    assert unseen == sorted(unseen)


@given(ids, st.dictionaries(st.text("abc", min_size=1, max_size=3), st.tuples(st.integers(1, 9), st.integers(0, 1))))
def test_new_items_are_put_where_sorting_would_put_them(item_ids, counted):
    counts = Counts(tuple(counted), *np.array(list(counted.values()), dtype=float).reshape(-1, 2).T)
    grown, at_once = Popularity.of(counts, ItemIds(item_ids[:1])), Popularity.of(counts, ItemIds(item_ids))
    for size in range(1, len(item_ids) + 1, 2):
        grown = grown.over(grown.item_ids.followed_by(item_ids[len(grown.item_ids) : size]))
    grown = grown.over(grown.item_ids.followed_by(item_ids[len(grown.item_ids) :]))
    assert grown.order.tolist() == at_once.order.tolist()
    assert grown.scorer.rates.tolist() == at_once.scorer.rates.tolist()
    other = ItemIds(item_ids[::-1])
    assert grown.over(other).order.tolist() == Popularity.of(counts, other).order.tolist()
    assert grown.over(grown.item_ids) is grown


def test_finds_the_few_that_may_be_shown_wherever_they_are():
    catalogue = Catalogue(Item(f"i{n}", hidden=n % 3001 != 0) for n in range(20_000))
    shelf = Shelf(catalogue, {"home": np.arange(20_000)[::-1]})
    for limit in (1, 4, 7, 20):
        shown = [int(item.item_id[1:]) for item in shelf.best("home", limit, [], None)[0]]
        assert shown == list(range(18_006, -1, -3001))[:limit]


@given(ids, st.integers(1, 5), st.sets(st.text("abc", min_size=1, max_size=2)))
def test_shows_the_first_eligible_items(item_ids, limit, excluded):
    catalogue = Catalogue(tuple(Item(item_id) for item_id in item_ids))
    shelf = Shelf(catalogue, {"home": np.arange(len(item_ids))[::-1]})
    items, _ = shelf.best("home", limit, sorted(excluded), None)
    allowed = [item_id for item_id in reversed(item_ids) if item_id not in excluded]
    assert [item.item_id for item in items] == allowed[:limit]


def test_shows_only_what_the_filter_lets_through():
    catalogue = Catalogue(Item(f"i{n}", {"category": "odd" if n % 2 else "even"}) for n in range(6))
    shelf = Shelf(catalogue, {"home": np.array([5, 2, 0, 1, 3, 4])})
    assert [item.item_id for item in shelf.best("home", 2, ["i1"], None, {"category": "odd"})[0]] == ["i5", "i3"]
    assert shelf.best("home", 2, [], None, {"category": "none"}) == ([], [])
    with pytest.raises(InvalidInput, match="no item has the fact 'brand'"):
        shelf.best("home", 2, [], None, {"brand": "odd"})


def test_obeys_pins_and_caps_in_its_own_order():
    catalogue = Catalogue(Item(f"i{n}", {"category": "odd" if n % 2 else "even"}) for n in range(6))
    rules, _ = Layout({"category": 1}, {1: "i4"}).over(catalogue)
    shelf = Shelf(catalogue, {"home": np.array([5, 2, 0, 1, 3, 4]), "plain": np.arange(6)}, {"home": rules})
    assert [item.item_id for item in shelf.best("home", 3, [], None)[0]] == ["i4", "i5"]
    assert [item.item_id for item in shelf.best("home", 3, ["i4"], None)[0]] == ["i5", "i2"]
    assert [item.item_id for item in shelf.best("plain", 3, [], None)[0]] == ["i0", "i1", "i2"]
