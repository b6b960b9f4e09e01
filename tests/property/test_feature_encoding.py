"""Many items encode to the bits that each would alone, and each that does not fit says so by its row."""

from __future__ import annotations

import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from omakase.core.errors import InvalidFeature
from omakase.core.features import Categorical, Cross, Cyclic, Embedding, Factor, FeatureSpec, Hashed, Numeric
from omakase.core.values import Facts

SPEC = FeatureSpec(
    item=(
        Numeric("price", 50.0, 20.0, 3.0),
        Categorical("category", ("a", "b", "true")),
        Hashed("tags", 5),
        Cyclic("season", 12.0),
        Embedding("style", 2, 2.0),
        Cross("what", ("category", "tags"), 7),
        Cross("how", ("tags", "price"), 3),
    )
)
NAMES = [feature.name for feature in SPEC.item]
WORDS = st.sampled_from(["a", "b", "c", "true", "", "é" * 100])
NUMBERS = st.floats() | st.integers(-5, 5) | st.sampled_from([50.0, 1e308, -1e308])
VALUES = (
    WORDS
    | st.booleans()
    | NUMBERS
    | st.lists(WORDS, max_size=3).map(tuple)
    | st.lists(NUMBERS, min_size=1, max_size=3).map(tuple)
)
# Mostly of the right kind, so that whole rows fit.
FITTING = st.fixed_dictionaries(
    {},
    optional={
        "price": NUMBERS | st.booleans(),
        "category": WORDS | st.lists(WORDS, max_size=3).map(tuple) | st.booleans(),
        "tags": WORDS | st.lists(WORDS, max_size=3).map(tuple),
        "season": st.floats(-100, 100),
        "style": st.tuples(NUMBERS, NUMBERS),
    },
)


def encode_alone(facts: Facts) -> tuple[Factor, str]:
    """An item by itself; zeros and why, if it does not fit."""
    try:
        return SPEC.encode_item(facts), ""
    except InvalidFeature as error:
        return np.zeros(SPEC.item_width, dtype=np.float32), str(error)


@given(st.lists(FITTING | st.dictionaries(st.sampled_from(NAMES), VALUES), max_size=8))
def test_many_encode_as_each_alone(items) -> None:
    factors, misfits = SPEC.encode_items(items)
    assert factors.shape == (len(items), SPEC.item_width)
    assert factors.dtype == np.float32
    assert np.isfinite(factors).all()
    for row, facts in enumerate(items):
        alone, reason = encode_alone(facts)
        assert misfits.get(row, "") == reason
        assert factors[row].tobytes() == alone.tobytes()


@given(FITTING)
def test_a_specification_encodes_the_same_after_a_journey_to_another_process(facts) -> None:
    here, _ = SPEC.encode_items([facts])
    there, _ = pickle.loads(pickle.dumps(SPEC)).encode_items([facts])
    assert there.tobytes() == here.tobytes()
