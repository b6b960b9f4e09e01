"""Sums by item obey the laws of the shared ones: any order, any split, late corrections, forgetting."""

from __future__ import annotations

import math
from functools import reduce
from operator import add

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from omakase.core.events import Joined
from omakase.core.ids import NOBODY
from omakase.core.item_learner import PerItemLearner
from omakase.core.item_statistics import NO_ITEMS
from omakase.core.posterior import Statistics
from omakase.core.refolding import ExampleColumns
from omakase.core.sessions import Example

HOUR_S = 3600.0
HALF_LIVES = st.sampled_from([math.inf, 10 * HOUR_S])
OUTCOMES = st.fixed_dictionaries({"click": st.sampled_from([0.0, 1.0]), "reward": st.floats(-5, 5)})
SIZES = {"min_size": 1, "max_size": 6}


@st.composite
def examples(draw: st.DrawFn) -> Example:
    """New ones, corrections and retractions, of a handful of items, at positions looked at more and less often."""
    number = st.floats(-3, 3, width=32)
    before, after = draw(st.sampled_from([(False, True), (False, True), (True, True), (True, False)]))
    looked_at = draw(st.sampled_from([1.0, 0.5]))
    delivery = Joined(
        served_at=0.0,
        placement="home",
        variant="a",
        policy="p",
        model="m",
        unit=NOBODY,
        item_id=draw(st.sampled_from(["a", "b", "ç", "10", "9"])),
        context_factor=np.array([draw(number), draw(number)], dtype=np.float32),
        item_factor=np.array([looked_at, draw(number) * looked_at], dtype=np.float32),
    )
    outcomes = draw(OUTCOMES) if after else None
    learnt = draw(OUTCOMES) if before else None
    return Example(delivery, outcomes, draw(st.floats(0.1, 2)), draw(st.floats(0, 100 * HOUR_S)), learnt)


def assert_same(a: Statistics, b: Statistics) -> None:
    assert a.items.item_ids == b.items.item_ids
    assert_allclose(a.items.precision, b.items.precision, atol=1e-9)
    assert_allclose(a.items.weights, b.items.weights, atol=1e-9)
    assert_allclose(a.items.seen_at, b.items.seen_at)
    for name in ("click", "reward"):
        assert_allclose(a.items.outcomes[name].moments, b.items.outcomes[name].moments, atol=1e-9)
        assert_allclose(a.items.outcomes[name].energies, b.items.outcomes[name].energies, atol=1e-9)
    assert_allclose(a.precision, b.precision, atol=1e-9)


def learner(half_life_s: float = math.inf) -> PerItemLearner:
    return PerItemLearner(2, 2, half_life_s=half_life_s)


@settings(max_examples=30)
@given(st.lists(examples(), **SIZES), st.lists(examples(), **SIZES), st.lists(examples(), **SIZES), HALF_LIVES)
def test_merging_commutes_and_associates_also_with_half_lives(one, two, three, half_life_s: float) -> None:
    a, b, c = (learner(half_life_s).summarise(some) for some in (one, two, three))
    assert_same(a + b, b + a)
    assert_same((a + b) + c, a + (b + c))
    empty = learner(half_life_s).empty()
    assert_same(a + empty, a)
    assert_same(empty + a, a)


@settings(max_examples=40)
@given(st.lists(examples(), **SIZES), HALF_LIVES, st.randoms())
def test_any_split_of_the_examples_comes_to_the_same_sums(some: list[Example], half_life_s: float, luck) -> None:
    parts = [learner(half_life_s).summarise([example]) for example in some]
    luck.shuffle(parts)
    assert_same(reduce(add, parts), learner(half_life_s).summarise(some))


@settings(max_examples=40)
@given(st.lists(examples(), **SIZES), HALF_LIVES)
def test_sums_by_item_are_those_of_each_item_in_plain_words(some: list[Example], half_life_s: float) -> None:
    found = learner(half_life_s).summarise(some)
    newest = max(example.at for example in some)
    assert found.items.item_ids == tuple(sorted({example.delivery.item_id for example in some}))
    for place, item_id in enumerate(found.items.item_ids):
        precision, moment, energy, weight = np.zeros((3, 3)), np.zeros(3), 0.0, 0.0
        for example in some:
            if example.delivery.item_id != item_id:
                continue
            w = example.weight * 0.5 ** ((newest - example.at) / half_life_s)
            z = np.array([1.0, *example.delivery.context_factor]) * example.delivery.item_factor[0]
            after = example.outcomes["reward"] if example.outcomes else 0.0
            before = example.before["reward"] if example.before else 0.0
            count = (example.before is None) - (example.outcomes is None)
            precision += count * w * np.outer(z, z)
            moment += w * (after - before) * z
            energy += w * (after**2 - before**2)
            weight += count * w
        assert_allclose(found.items.precision[place], precision[np.tril_indices(3)], atol=1e-6)
        assert_allclose(found.items.outcomes["reward"].moments[place], moment, atol=1e-6)
        assert_allclose(found.items.outcomes["reward"].energies[place], energy, atol=1e-6)
        assert_allclose(found.items.weights[place], weight, atol=1e-6)


@settings(max_examples=40)
@given(st.lists(examples(), **SIZES))
def test_what_is_taken_back_leaves_nothing(some: list[Example]) -> None:
    new = [Example(one.delivery, {"click": 1.0, "reward": 2.0}, one.weight, one.at) for one in some]
    gone = [Example(one.delivery, None, one.weight, one.at, one.outcomes) for one in new]
    left = learner().summarise(new) + learner().summarise(gone)
    assert_allclose(left.items.precision, 0.0, atol=1e-9)
    assert_allclose(left.items.outcomes["reward"].moments, 0.0, atol=1e-9)
    assert_allclose(left.items.weights, 0.0, atol=1e-9)


def test_without_items_sums_are_neutral() -> None:
    assert NO_ITEMS + NO_ITEMS is NO_ITEMS
    nothing = learner().refold(ExampleColumns.of([_one("a")]))
    assert (nothing.items + NO_ITEMS).item_ids == (NO_ITEMS + nothing.items).item_ids == ("a",)


def _one(item_id: str) -> Example:
    factors = np.zeros(2, np.float32), np.ones(2, np.float32)
    delivery = Joined(0.0, "home", "a", "p", "m", NOBODY, item_id, *factors)
    return Example(delivery, {"click": 1.0, "reward": 1.0}, 1.0, 0.0)
