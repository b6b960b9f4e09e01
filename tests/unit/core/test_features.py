"""Features: what each kind makes of a value, and that it never makes something else tomorrow."""

from __future__ import annotations

import numpy as np
import pytest

from omakase.core.errors import InvalidFeature, InvalidInput
from omakase.core.features import Categorical, Cyclic, Embedding, FeatureSpec, Hashed, Numeric, cross

SPEC = FeatureSpec(
    item=(Categorical("category", ("shoes", "bags")), Numeric("price", 80.0, 40.0, 3.0)),
    context=(Hashed("city", 8), Cyclic("hour", 24.0), Embedding("taste", 2)),
)


def test_widths_add_up_with_one_constant_for_the_item() -> None:
    assert (SPEC.item_width, SPEC.context_width) == (1 + 2 + 1, 8 + 2 + 2)
    assert SPEC.dimensions == 4 * (1 + 12)
    assert FeatureSpec(()).dimensions == 1


def test_an_item_encodes_after_its_constant() -> None:
    assert SPEC.encode_item({"category": "bags", "price": 120.0}).tolist() == [1.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(("price", "encoded"), [(80.0, 0.0), (1e9, 3.0), (-1e9, -3.0), (True, (1 - 80) / 40)])
def test_numbers_are_scaled_and_clipped(price: float, encoded: float) -> None:
    assert SPEC.encode_item({"price": price})[3] == pytest.approx(encoded)


@pytest.mark.parametrize(("hour", "encoded"), [(0.0, (0, 1)), (6.0, (1, 0)), (24.0, (0, 1)), (-6.0, (-1, 0))])
def test_hours_lie_on_a_circle(hour: float, encoded: tuple[float, float]) -> None:
    assert SPEC.encode_context({"hour": hour})[8:10] == pytest.approx(encoded, abs=1e-6)


def test_several_words_set_several_places() -> None:
    assert SPEC.encode_item({"category": ("bags", "shoes")}).tolist() == [1.0, 1.0, 1.0, 0.0]


def test_several_words_are_hashed_each_to_its_place() -> None:
    alone = [SPEC.encode_context({"city": city})[:8] for city in ("Bern", "Zürich")]
    both = SPEC.encode_context({"city": ("Bern", "Zürich", "Bern")})[:8]
    assert both.tolist() == np.maximum(*alone).tolist()
    assert both.sum() == 2


def test_truth_values_are_words_where_words_are_wanted() -> None:
    spec = FeatureSpec((Categorical("new", ("true",)), Hashed("sale", 16)))
    said, spelt = (spec.encode_item({"new": yes, "sale": yes}) for yes in (True, "true"))
    assert said.tolist() == spelt.tolist()
    assert spec.encode_item({"new": False}).sum() == 1


def test_large_components_are_clipped() -> None:
    assert SPEC.encode_context({"taste": (1e300, -7.0)})[10:].tolist() == [5.0, -5.0]


def test_many_items_encode_at_once_and_those_that_do_not_fit_say_why() -> None:
    items = [{"category": "bags", "price": 120.0}, {"price": "dear"}, {}, {"category": 1.0, "price": float("nan")}]
    factors, misfits = SPEC.encode_items(items)
    assert factors.tolist() == [[1.0, 0.0, 1.0, 1.0], [0.0] * 4, [1.0, 0.0, 0.0, 0.0], [0.0] * 4]
    assert misfits == {1: "'price' must be a number", 3: "'category' must be text or a list of texts"}


def test_no_items_encode_to_an_empty_matrix() -> None:
    factors, misfits = SPEC.encode_items([])
    assert (factors.shape, misfits) == ((0, 4), {})


def test_what_is_missing_or_unknown_encodes_to_zero() -> None:
    assert SPEC.encode_item({"category": "hats"}).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert not SPEC.encode_context({"nobody reads this": "x"}).any()


@pytest.mark.parametrize(
    "facts",
    [
        {"hour": "noon"},
        {"hour": (1.0,)},
        {"city": 3.0},
        {"city": (1.0, 2.0)},
        {"taste": 1.0},
        {"taste": (1.0,)},
        {"taste": ("a", "b")},
        {"taste": ()},
        {"hour": float("nan")},
        {"hour": float("inf")},
        {"taste": (1.0, float("nan"))},
        {"taste": (float("inf"), float("-inf"))},
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_the_name_of_its_feature(facts) -> None:
    with pytest.raises(InvalidFeature, match=repr(next(iter(facts)))):
        SPEC.encode_context(facts)


def test_a_feature_named_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        FeatureSpec((Numeric("price"), Hashed("price", 4)))


PLACES = {"Bern": 0, "Zürich": 6, "東京": 6, "": 0}
SCHEMA_ID = "a7ef0b29c4d6"


# Pinned by value: a model learnt yesterday reads features encoded today.
def test_hashing_is_the_same_in_every_release() -> None:
    places = {city: int(SPEC.encode_context({"city": city})[:8].argmax()) for city in ("Bern", "Zürich", "東京", "")}
    assert places == PLACES


def test_the_schema_id_is_the_same_in_every_release() -> None:
    assert SPEC.schema_id == SCHEMA_ID


@pytest.mark.parametrize(
    "other",
    [
        FeatureSpec(SPEC.item[::-1], SPEC.context),
        FeatureSpec(SPEC.item, SPEC.context[:2]),
        FeatureSpec(SPEC.context, SPEC.item),
        FeatureSpec((Categorical("category", ("bags", "shoes")), SPEC.item[1]), SPEC.context),
        FeatureSpec((SPEC.item[0], Numeric("price", 80.0, 40.0, 4.0)), SPEC.context),
        FeatureSpec(SPEC.item, (Hashed("city", 9), *SPEC.context[1:])),
    ],
)
def test_whatever_may_change_a_coordinate_changes_the_schema_id(other: FeatureSpec) -> None:
    assert other.schema_id != SPEC.schema_id


def test_crossing_puts_the_item_first_and_then_once_per_context_coordinate() -> None:
    crossed = cross(np.array([2.0, -1.0], dtype=np.float32), np.array([1.0, 3.0], dtype=np.float32))
    assert crossed.tolist() == [1.0, 3.0, 2.0, 6.0, -1.0, -3.0]
