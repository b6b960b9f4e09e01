"""Coordinates have the names of what they weigh."""

from __future__ import annotations

from omakase.core.coordinates import coordinates
from omakase.core.features import Categorical, Cross, Cyclic, Embedding, FeatureSpec, Hashed, Numeric, Recent, cross

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


def test_features_made_of_others_have_names_too() -> None:
    item = (
        Hashed("brand", 2),
        Embedding("style", 2),
        Categorical("colour", ("red",)),
        Cross("c", ("brand", "colour"), 2),
    )
    names = coordinates(FeatureSpec(item, (Recent("taste", "style", 2),)))
    assert names[:8] == ["1", "brand[0]", "brand[1]", "style[0]", "style[1]", "colour=red", "c[0]", "c[1]"]
    assert names[8] == "taste[0]"
    assert names[-1] == "taste[1] × c[1]"
