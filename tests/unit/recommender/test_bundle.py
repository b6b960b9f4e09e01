from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omakase.core.catalogue import Catalogue, Item
from omakase.core.errors import NotFound
from omakase.core.features import Categorical, FeatureSpec, Numeric
from recommender.bundle import Bundle, Rules
from recommender.item_matrix import ItemMatrix

SPEC = FeatureSpec((Categorical("colour", ("red", "blue")), Numeric("price")))
ITEMS = (Item("a", {"colour": "red", "price": 2.0}), Item("b", {"price": "cheap"}), Item("c", {"colour": "blue"}))


def test_encodes_every_item_that_fits_into_one_contiguous_float32_matrix():
    matrix = ItemMatrix.of(Catalogue(ITEMS, 7), SPEC)
    assert (matrix.factors.dtype, matrix.factors.shape, matrix.factors.flags.c_contiguous) == (np.float32, (3, 4), True)
    for i in (0, 2):
        np.testing.assert_array_equal(matrix.factors[i], SPEC.encode_item(ITEMS[i].metadata))


def test_hides_an_item_that_does_not_fit_says_why_and_keeps_every_place():
    matrix = ItemMatrix.of(Catalogue(ITEMS, 7), SPEC)
    assert matrix.misfits == {"b": "'price' must be a number"}
    assert list(matrix.catalogue.item_ids) == ["a", "b", "c"]
    assert matrix.catalogue.generation == 7
    mask, ignored = matrix.catalogue.eligible([], ["a", "b"])
    assert (mask.tolist(), ignored) == ([True, False, False], ["b"])


def test_encodes_a_catalogue_of_several_chunks_as_if_it_were_one():
    items = [Item(f"i{n}", {"price": float(n) if n % 3000 else "cheap"}) for n in range(9000)]
    matrix = ItemMatrix.of(Catalogue(items), SPEC)
    assert list(matrix.misfits) == ["i0", "i3000", "i6000"]
    assert np.flatnonzero(~matrix.catalogue.available).tolist() == [0, 3000, 6000]
    for n in (1, 4095, 4096, 8999):
        np.testing.assert_array_equal(matrix.factors[n], SPEC.encode_item(items[n].metadata))


def test_takes_the_factors_that_were_there_if_only_the_stock_has_changed():
    before = ItemMatrix.of(Catalogue(ITEMS), SPEC)
    same = Catalogue(ITEMS).amended([], 1)
    sold = before.catalogue.amended([replace(ITEMS[0], stock=0), replace(ITEMS[1], stock=5)], 8)
    after = ItemMatrix.of(sold, SPEC, before)
    assert (after.factors is before.factors, after.misfits) == (True, before.misfits)
    assert after.catalogue.available.tolist() == [False, False, True]  # b does not fit, whatever its stock
    assert ItemMatrix.of(same, SPEC, before).factors is not before.factors


def test_shares_the_catalogue_where_everything_fits():
    catalogue = Catalogue((ITEMS[0], ITEMS[2]))
    assert ItemMatrix.of(catalogue, SPEC).catalogue is catalogue


def test_an_unknown_name_is_told_with_the_known_ones():
    bundle = Bundle.of(Rules({}, {}), Catalogue(()), {}, {})
    for look_up in (bundle.surface, bundle.policy, bundle.model):
        with pytest.raises(NotFound, match=r"'nobody', only \[\]"):
            look_up("nobody")
