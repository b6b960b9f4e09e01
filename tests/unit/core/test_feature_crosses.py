"""Crosses: what several features say together has a place of its own."""

from __future__ import annotations

import numpy as np
import pytest

from omakase.core.errors import InvalidFeature, InvalidInput
from omakase.core.features import Categorical, Cross, Cyclic, Embedding, FeatureSpec, Hashed, Numeric

DEVICE = Categorical("device", ("ios", "web"))
TAGS = Hashed("tags", 4)
AGE = Numeric("age", 40.0, 10.0, 3.0)
HOUR = Cyclic("hour", 24.0)


def crossed(cross: Cross, **facts) -> dict[int, float]:
    """The places of a cross that are not 0."""
    factor = FeatureSpec((), (DEVICE, TAGS, AGE, cross)).encode_context(facts)
    own = factor[-cross.buckets :]
    return {int(place): float(own[place]) for place in own.nonzero()[0]}


BOTH = Cross("both", ("device", "tags"), 512)


def test_every_combination_of_words_has_a_place() -> None:
    places = [crossed(BOTH, device=device, tags=tag) for device in ("ios", "web") for tag in ("a", "b", "c")]
    assert all(list(place.values()) == [1.0] for place in places)
    assert len({tuple(place) for place in places}) == 6


def test_several_values_are_crossed_with_each_other() -> None:
    alone = [crossed(BOTH, device=device, tags=tag) for device in ("ios", "web") for tag in ("a", "b")]
    together = crossed(BOTH, device=("ios", "web"), tags=("a", "b", "a"))
    assert together == {place: number for one in alone for place, number in one.items()}


@pytest.mark.parametrize(
    "facts",
    [{}, {"device": "ios"}, {"tags": "a"}, {"device": "fridge", "tags": "a"}, {"device": "ios", "tags": ()}],
)
def test_what_lacks_a_part_is_nothing(facts) -> None:
    assert crossed(BOTH, **facts) == {}


def test_a_number_scales_the_place_of_the_word() -> None:
    by_age = Cross("by_age", ("device", "age"), 64)
    (place,) = crossed(by_age, device="ios", age=60.0)
    assert crossed(by_age, device="ios", age=60.0) == {place: 2.0}
    assert crossed(by_age, device="ios", age=0.0) == {place: -3.0}  # clipped, as the feature itself
    assert crossed(by_age, device="ios") == {}
    assert crossed(by_age, device="ios", age=40.0) == {}  # the mean


def test_combinations_are_bounded() -> None:
    many = tuple(f"t{i}" for i in range(128))
    assert crossed(BOTH, device=("ios", "web"), tags=many)
    with pytest.raises(InvalidFeature, match="'both' would cross 258 combinations of words, at most 256"):
        crossed(BOTH, device=("ios", "web"), tags=(*many, "one more"))


def test_a_part_of_the_wrong_kind_is_refused_by_its_own_name() -> None:
    with pytest.raises(InvalidFeature, match="'age' must be a number"):
        FeatureSpec((DEVICE, AGE, Cross("c", ("device", "age"), 4))).encode_item({"device": "ios", "age": "old"})


# Pinned by value: a model learnt yesterday reads features encoded today.
def test_crosses_are_the_same_in_every_release() -> None:
    words = [("ios", "a"), ("ios", "東京"), ("web", "a"), ("web", "")]
    assert [next(iter(crossed(BOTH, device=device, tags=tag))) for device, tag in words] == [328, 243, 463, 426]


def test_no_two_combinations_are_spelt_alike() -> None:
    open_words = FeatureSpec((), (Hashed("a", 2), Hashed("b", 2), Cross("ab", ("a", "b"), 1000)))
    one, other = (open_words.encode_context({"a": a, "b": b}) for a, b in (("x", "yz"), ("xy", "z")))
    assert not np.array_equal(one[4:], other[4:])


@pytest.mark.parametrize(
    ("cross", "reason"),
    [
        (Cross("c", ("device", "sise"), 4), "no feature of the same side is named 'sise'"),
        (Cross("c", ("device", "hour"), 4), "hour is of type cyclic"),
        (Cross("c", ("device", "c"), 4), "c is of type cross"),
        (Cross("c", ("device",), 4), "at least two"),
        (Cross("c", ("device", "device"), 4), "each once"),
        (Cross("c", ("age", "height"), 4), "at least one categorical or hashed"),
    ],
)
def test_a_cross_of_what_cannot_be_crossed_is_refused(cross: Cross, reason: str) -> None:
    side = (DEVICE, AGE, Numeric("height"), HOUR, Embedding("style", 2), cross)
    for spec in ({"item": side}, {"item": (), "context": side}):
        with pytest.raises(InvalidInput, match=f"feature 'c': of: .*{reason}"):
            FeatureSpec(**spec)
