"""Coordinates have the names of what they weigh."""

from __future__ import annotations

from omakase.core.coordinates import coordinates
from omakase.core.features import Categorical, Cyclic, Embedding, FeatureSpec, Numeric, cross

SPEC = FeatureSpec(
    item=(Categorical("colour", ("red", "blue")), Numeric("price")),
    context=(Categorical("device", ("ios",)), Cyclic("hour", 24.0), Embedding("taste", 2)),
)


def test_names_stand_where_the_coordinates_do() -> None:
    names = coordinates(SPEC)
    assert len(names) == SPEC.dimensions
    assert len(set(names)) == len(names)
    item = SPEC.encode_item({"colour": "blue", "price": 2.0})
    x = cross(SPEC.encode_context({"device": "ios", "hour": 6.0, "taste": (0.0, 3.0)}), item)
    found = {name: value for name, value in zip(names, x.round(6), strict=True) if value}
    assert found == {
        "1": 1.0,
        "colour=blue": 1.0,
        "price": 2.0,
        "device=ios": 1.0,
        "device=ios × colour=blue": 1.0,
        "device=ios × price": 2.0,
        "sin hour": 1.0,
        "sin hour × colour=blue": 1.0,
        "sin hour × price": 2.0,
        "taste[1]": 3.0,
        "taste[1] × colour=blue": 3.0,
        "taste[1] × price": 6.0,
    }
