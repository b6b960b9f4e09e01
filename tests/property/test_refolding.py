"""Columns of examples come to the sums of the examples."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from omakase.core.events import Joined
from omakase.core.ids import NOBODY
from omakase.core.refolding import ExampleColumns, refold
from omakase.core.sessions import Example
from omakase.core.training import OUTCOMES, summarise

HOUR_S = 3600.0
outcomes = st.fixed_dictionaries({"click": st.sampled_from([0.0, 1.0]), "reward": st.floats(-5, 5)})


@st.composite
def examples(draw: st.DrawFn) -> Example:
    """New ones, corrections and retractions."""
    number = st.floats(-3, 3, width=32)
    before, after = draw(st.sampled_from([(False, True), (True, True), (True, False)]))
    delivery = Joined(
        served_at=0.0,
        placement="home",
        variant="a",
        policy="p",
        model="m",
        unit=NOBODY,
        item_id="i",
        context_factor=np.array([draw(number), draw(number)], dtype=np.float32),
        item_factor=np.array([1.0, draw(number)], dtype=np.float32),
    )
    return Example(
        delivery,
        draw(outcomes) if after else None,
        draw(st.floats(0.1, 2)),
        draw(st.floats(0, 100 * HOUR_S)),
        draw(outcomes) if before else None,
    )


def columns_of(some: list[Example]) -> ExampleColumns:
    def column(name: str, of: str) -> np.ndarray:
        sides = [getattr(one, of) for one in some]
        return np.array([math.nan if side is None else side[name] for side in sides])

    return ExampleColumns(
        np.stack([one.delivery.context_factor for one in some]),
        np.stack([one.delivery.item_factor for one in some]),
        np.array([one.weight for one in some]),
        np.array([one.at for one in some]),
        {name: column(name, "outcomes") for name in OUTCOMES},
        {name: column(name, "before") for name in OUTCOMES},
    )


@given(some=st.lists(examples(), min_size=1, max_size=8), half_life_s=st.sampled_from([math.inf, 10 * HOUR_S]))
def test_columns_come_to_the_same_sums_as_the_examples(some: list[Example], half_life_s: float) -> None:
    found, wanted = refold(columns_of(some), half_life_s), summarise(some, half_life_s)
    assert (found.examples, found.as_of, found.half_life_s) == (wanted.examples, wanted.as_of, wanted.half_life_s)
    assert_allclose(found.weight, wanted.weight, atol=1e-9)
    assert_allclose(found.precision, wanted.precision, atol=1e-9)
    for name in OUTCOMES:
        assert_allclose(found.outcomes[name].moment, wanted.outcomes[name].moment, atol=1e-9)
        assert_allclose(found.outcomes[name].energy, wanted.outcomes[name].energy, atol=1e-9)
