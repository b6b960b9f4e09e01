"""Metadata in columns: what goes in comes out, and items of a kind are found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omakase.core import kinds, metadata
from omakase.core.errors import InvalidInput
from omakase.core.metadata import NONE, Metadata
from omakase.core.values import Facts, Value

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.floats(allow_nan=False, allow_infinity=False, width=32)
values: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from(("red", "blue")),
    st.text(max_size=300),
    st.booleans(),
    st.sampled_from((0.0, 1.0)),
    numbers,
    st.lists(st.text(max_size=5), max_size=4).map(tuple),
    st.lists(numbers, max_size=40).map(tuple),
)
items = st.lists(st.dictionaries(st.sampled_from(("colour", "price", "tags", "style")), values), max_size=20)


def of(*facts: Facts) -> Metadata:
    return Metadata(facts)


@given(items, st.integers(1, 6))
def test_every_item_has_the_facts_that_it_was_given_however_few_are_kept_once(facts: list[Facts], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "MAX_KINDS", most)
        kept = list(of(*facts))
    assert kept == facts
    for made, given_ in zip(kept, facts, strict=True):
        assert list(made) == list(given_)
        assert [type(value) for value in made.values()] == [type(value) for value in given_.values()]


def test_codes_are_equal_where_values_are() -> None:
    made = of({"colour": "red"}, {}, {"colour": "blue"}, {"price": 1.0, "colour": "red"}, {"colour": ("red", "blue")})
    assert made.codes("colour").tolist() == [0, NONE, 1, 0, 2]
    assert made.codes("price").tolist() == [NONE, NONE, NONE, 0, NONE]
    assert made.codes("colour").dtype == np.int32


def test_what_is_packed_is_no_kind_of_anything_else() -> None:
    long = "x" * 300
    made = of({"title": long, "about": long, "more": long}, {"colour": "red"})
    assert made.codes("colour").tolist() == [NONE, 0]


def test_codes_cannot_be_changed_by_who_asks_for_them() -> None:
    with pytest.raises(ValueError, match="read-only"):
        of({"colour": "red"}).codes("colour")[0] = 5


SHOP = of(
    {"category": "shoes", "sizes": (38.0, 39.0), "new": True},
    {"category": "coats", "sizes": (40.0,), "new": 1.0},
    {"category": ("shoes", "sale"), "sizes": 39.0},
    {"new": False},
    {"category": ()},
)


@pytest.mark.parametrize(
    ("fact", "wanted", "found"),
    [
        ("category", "shoes", [0, 2]),
        ("category", ("coats", "sale"), [1, 2]),
        ("category", "hats", []),
        ("category", (), []),
        ("category", ("shoes", "hats", "shoes"), [0, 2]),
        ("sizes", 39.0, [0, 2]),
        ("sizes", (40.0, 41.0), [1]),
        ("sizes", "39", []),
        ("new", True, [0]),
        ("new", 1.0, [1]),
        ("new", False, [3]),
    ],
)
def test_finds_items_that_have_one_of_the_values(fact: str, wanted: Value, found: list[int]) -> None:
    assert np.flatnonzero(SHOP.having(fact, wanted)).tolist() == found


@given(items, st.sampled_from(("colour", "tags")), st.lists(st.sampled_from(("red", "blue", "", "a")), max_size=3))
def test_finds_what_looking_at_every_item_finds(facts: list[Facts], fact: str, wanted: list[str]) -> None:
    made = of(*facts, {fact: "red"})
    found = [fact in one and bool({*_all(one[fact])} & {*wanted}) for one in [*facts, {fact: "red"}]]
    try:
        assert made.having(fact, tuple(wanted)).tolist() == found
    except InvalidInput:
        assert any(kinds._is_short(one[fact]) is False for one in facts if fact in one)


def _all(value: Value) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def test_finds_many_values_among_many() -> None:
    made = of({}, *({"brand": f"b{i % 500}"} for i in range(200_000)))
    wanted = tuple(f"b{i}" for i in range(2, 500, 7))  # the last of them, 499, is the last that there is
    expected = [False, *(i % 500 % 7 == 2 for i in range(200_000))]
    assert made.having("brand", wanted).tolist() == expected


def test_a_fact_that_no_item_has_is_told_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="no item has the fact 'categori'; did you mean 'category'"):
        SHOP.having("categori", "shoes")


@pytest.mark.parametrize("value", ["x" * 257, tuple(float(i) for i in range(17))])
def test_a_fact_too_long_to_be_a_kind_is_refused_and_not_half_answered(value: Value) -> None:
    made = of({"about": "short"}, {"about": value})
    with pytest.raises(InvalidInput, match="'about' has too many or too long values"):
        made.having("about", "short")


def test_a_fact_of_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "MAX_KINDS", 3)
    assert of(*({"brand": f"b{i}"} for i in range(3))).having("brand", "b1").tolist() == [False, True, False]
    with pytest.raises(InvalidInput, match="'brand' has too many"):
        of(*({"brand": f"b{i}"} for i in range(4))).codes("brand")


def test_remembers_no_more_columns_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "_COLUMNS", 2)
    made = of({"a": "x", "b": "y", "c": "z"})
    for _ in range(2):
        for fact in "abc":
            assert made.codes(fact).tolist() == [0]
    assert len(made._columns) == 2
