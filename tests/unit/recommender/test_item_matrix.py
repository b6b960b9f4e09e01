"""A matrix follows its catalogue: what is the same is shared, and what is read is never written to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from omakase.core.catalogue import Catalogue, Item
from omakase.core.features import Categorical, FeatureSpec, Numeric
from recommender.item_matrix import ItemMatrix

SPEC = FeatureSpec((Categorical("colour", ("red", "blue")), Numeric("price")))
ITEMS = [Item(f"i{n}", {"price": float(n % 4), "colour": "red"}) for n in range(100)]
CATALOGUE = Catalogue(ITEMS, 1)


def test_new_items_are_written_behind_the_others_which_stay_where_they_are():
    before = ItemMatrix.of(CATALOGUE, SPEC)
    after = ItemMatrix.of(CATALOGUE.amended([Item("new", {"price": 2.0})], 2), SPEC, before)
    assert np.shares_memory(after.factors, before.factors)
    assert (after.factors.shape, before.factors.shape) == ((101, 4), (100, 4))
    np.testing.assert_array_equal(after.factors[100], SPEC.encode_item({"price": 2.0}))


def test_two_futures_of_one_matrix_do_not_write_over_each_other():
    before = ItemMatrix.of(CATALOGUE, SPEC)
    one = ItemMatrix.of(CATALOGUE.amended([Item("one", {"price": 2.0})], 2), SPEC, before)
    other = ItemMatrix.of(CATALOGUE.amended([Item("other", {"price": 3.0})], 2), SPEC, before)
    assert (one.factors[100, 3], other.factors[100, 3]) == (2.0, 3.0)


def test_more_new_items_than_there_is_room_for_move_all():
    before = ItemMatrix.of(CATALOGUE, SPEC)
    after = ItemMatrix.of(CATALOGUE.amended([Item(f"new {n}", {"price": 1.0}) for n in range(20)], 2), SPEC, before)
    assert not np.shares_memory(after.factors, before.factors)
    np.testing.assert_array_equal(after.factors, ItemMatrix.of(Catalogue(after.catalogue), SPEC).factors)


def test_facts_that_no_feature_reads_leave_the_factors_where_they_are():
    before = ItemMatrix.of(CATALOGUE, SPEC)
    titled = CATALOGUE.amended([replace(ITEMS[7], metadata={**ITEMS[7].metadata, "title": "The seventh"})], 2)
    after = ItemMatrix.of(titled, SPEC, before)
    assert after.factors is before.factors
    assert after.catalogue.item(7).metadata["title"] == "The seventh"


def test_a_changed_row_is_a_row_of_another_matrix():
    before = ItemMatrix.of(CATALOGUE, SPEC)
    after = ItemMatrix.of(CATALOGUE.amended([replace(ITEMS[7], metadata={"price": 4.5})], 2), SPEC, before)
    assert (before.factors[7, 3], after.factors[7, 3]) == (3.0, 4.5)


def test_an_item_that_was_mended_is_shown_again_and_a_spoilt_one_is_not():
    spoilt = CATALOGUE.amended([replace(ITEMS[3], metadata={"price": "dear"})], 2)
    before = ItemMatrix.of(spoilt, SPEC)
    assert (list(before.misfits), before.catalogue.available[3]) == (["i3"], False)
    changed = [ITEMS[3], replace(ITEMS[5], metadata={"price": "dear"})]
    after = ItemMatrix.of(spoilt.amended(changed, 3), SPEC, before)
    assert (list(after.misfits), after.catalogue.available[3], after.catalogue.available[5]) == (["i5"], True, False)


def test_of_a_stranger_everything_is_encoded():
    before = ItemMatrix.of(CATALOGUE, SPEC)
    stranger = Catalogue([Item("x", {"price": 1.0})], 2)
    np.testing.assert_array_equal(ItemMatrix.of(stranger, SPEC, before).factors, [SPEC.encode_item({"price": 1.0})])
