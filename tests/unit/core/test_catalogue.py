"""The catalogue: who may be shown, and who was named in vain."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from omakase.core.catalogue import UNCOUNTED, Catalogue, Item
from omakase.core.errors import InvalidInput
from omakase.core.values import Facts

ITEMS = (
    Item("a", {"category": "shoes", "brand": "acme"}, value=2.5, stock=3),
    Item("b", {"category": "coats"}),
    Item("gone", in_stock=False),
    Item("secret", {"category": "shoes"}, hidden=True),
    Item("none left", stock=0),
)
CATALOGUE = Catalogue(ITEMS, 7)


def test_an_item_that_was_made_before_is_made_anew_where_its_catalogue_differs():
    catalogue = Catalogue([Item("a", value=1.0), Item("b")], 1)
    assert catalogue.item(0) is catalogue.item(0)
    assert catalogue.hiding([0]).item(0) == Item("a", value=1.0, hidden=True)
    amended = catalogue.amended([Item("a", value=2.0)], 2)
    assert amended is not None
    assert (amended.item(0).value, catalogue.item(0).value) == (2.0, 1.0)


def test_gives_back_the_items_that_it_was_made_of_in_their_order() -> None:
    assert tuple(CATALOGUE) == ITEMS
    assert [CATALOGUE.item(i) for i in range(len(CATALOGUE))] == list(ITEMS)
    assert (list(CATALOGUE.item_ids), CATALOGUE.generation) == (["a", "b", "gone", "secret", "none left"], 7)
    assert CATALOGUE.values.tolist()[:1] == [2.5]
    assert np.isnan(CATALOGUE.values[1:]).all()
    assert CATALOGUE.stock.tolist() == [3, UNCOUNTED, UNCOUNTED, UNCOUNTED, 0]


def test_takes_items_one_by_one_and_keeps_none() -> None:
    alive: weakref.WeakSet[Watched] = weakref.WeakSet()
    most = 0

    def source() -> Iterator[Item]:
        nonlocal most
        for i in range(1000):
            item = Watched(f"i{i}", {"price": float(i)})
            alive.add(item)
            most = max(most, len(alive))
            yield item

    assert len(Catalogue(source())) == 1000
    assert most <= 2


class Watched(Item):
    """An item that can be seen to go."""

    __hash__ = object.__hash__


def test_columns_are_for_reading_only() -> None:
    for column in (CATALOGUE.values, CATALOGUE.stock, CATALOGUE.available):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1


def test_hiding_changes_what_may_be_shown_and_nothing_else() -> None:
    fewer = CATALOGUE.hiding([0])
    assert fewer.available.tolist() == [False, True, False, False, False]
    assert fewer.item(0) == replace(ITEMS[0], hidden=True)
    assert tuple(fewer)[1:] == ITEMS[1:]
    assert fewer.metadata is CATALOGUE.metadata
    assert tuple(CATALOGUE) == ITEMS


def test_without_candidates_everything_that_is_there_may_be_shown() -> None:
    mask, ignored = CATALOGUE.eligible((), None)
    assert mask.tolist() == [True, True, False, False, False]
    assert ignored == []


def test_candidates_that_cannot_be_shown_are_named_once() -> None:
    mask, ignored = CATALOGUE.eligible((), ["b", "gone", "secret", "unknown", "none left", "unknown"])
    assert mask.tolist() == [False, True, False, False, False]
    assert ignored == ["gone", "secret", "unknown", "none left"]


def test_an_empty_list_of_candidates_means_nothing() -> None:
    assert not CATALOGUE.eligible((), [])[0].any()


def test_an_excluded_candidate_is_left_out_and_not_ignored() -> None:
    mask, ignored = CATALOGUE.eligible(["a", "unknown"], ["a", "b"])
    assert mask.tolist() == [False, True, False, False, False]
    assert ignored == []


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ({}, ["a", "b"]),
        ({"category": "shoes"}, ["a"]),
        ({"category": ("shoes", "coats")}, ["a", "b"]),
        ({"category": ("shoes", "coats"), "brand": "acme"}, ["a"]),
        ({"category": "coats", "brand": "acme"}, []),
        ({"category": "hats"}, []),
    ],
)
def test_filters_by_every_fact_and_one_of_its_values(filters: Facts, shown: list[str]) -> None:
    mask, ignored = CATALOGUE.eligible((), None, filters)
    assert [CATALOGUE.item_ids[i] for i in np.flatnonzero(mask)] == shown
    mask, ignored = CATALOGUE.eligible((), ["a", "b", "gone"], filters)
    assert [CATALOGUE.item_ids[i] for i in np.flatnonzero(mask)] == shown
    assert ignored == ["gone"]  # not the filtered ones: to leave them out is what was asked for


def test_refuses_to_filter_by_what_no_item_has_unless_there_is_no_item() -> None:
    with pytest.raises(InvalidInput, match="no item has the fact 'colour'; known: brand, category"):
        CATALOGUE.eligible((), None, {"colour": "red"})
    assert Catalogue().eligible(["a"], None, {"colour": "red"})[0].size == 0
    assert Catalogue().eligible((), ["a"])[1] == ["a"]


def test_asking_changes_nothing_for_the_next_request() -> None:
    CATALOGUE.eligible(["a"], None)
    assert CATALOGUE.eligible((), None)[0][0]


@pytest.mark.parametrize(
    ("item_id", "given"),
    [
        ("", {}),
        ("x" * 257, {}),
        ("\ud800", {}),
        ("a", {"value": math.nan}),
        ("a", {"value": math.inf}),
        ("a", {"stock": -1}),
        ("a", {"stock": 2_000_000_001}),
    ],
)
def test_an_item_that_cannot_be_is_refused(item_id: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Item(item_id, **given)
