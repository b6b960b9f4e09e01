"""Facts as JSON or YAML give them."""

from __future__ import annotations

import pytest

from omakase.core.errors import InvalidFeature
from omakase.core.values import facts_of, value_of


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("a", "a"),
        (True, True),
        (3, 3.0),
        (2.5, 2.5),
        (["a"], ("a",)),
        ([1, 2.5], (1.0, 2.5)),
        ([], ()),
        ("東京", "東京"),
    ],
)
def test_what_json_has_becomes_a_value(raw: object, value: object) -> None:
    accepted = value_of("fact", raw)
    assert accepted == value
    assert type(accepted) is type(value)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        {"a": 1},
        [None],
        ["a", 1],
        [True],
        [[1]],
        float("nan"),
        float("-inf"),
        10**400,
        [1e308, float("inf")],
        "\ud800",
        ["a", "\udfff"],
    ],
)
def test_what_no_feature_could_read_is_refused_by_name(raw: object) -> None:
    with pytest.raises(InvalidFeature, match="'age'"):
        facts_of({"name": "x", "age": raw})


def test_a_name_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(InvalidFeature, match="Unicode"):
        facts_of({"\ud800": "x"})
