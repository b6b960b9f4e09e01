"""Exposure caps against stock: in no window is an item delivered more often than its pieces allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omakase.config import parse_product
from omakase.core.catalogue import Catalogue, Item
from recommender.displays import Display
from recommender.exposures import Exposures

WINDOW_S = 100.0
PLACEMENT = parse_product(
    """
placements:
  home: {exposure: {per_stock: 2, window_s: 100}, variants: {all: {share: 10000, policy: chance}}}
policies: {chance: {type: uniform}}
"""
).placements["home"]
# At most 2, 6 and 0 deliveries, and as many as there may be.
ITEMS = (Item("one", stock=1), Item("three", stock=3), Item("none", stock=0), Item("uncounted"))


def display(*items: Item) -> Display:
    return Display.of("home", PLACEMENT, Catalogue(items or ITEMS))


def deliver(exposures: Exposures, shown: Display, item: int, now: float) -> bool:
    """Whether it might be, and then it was."""
    spent = exposures.spent(shown, now)
    if spent is not None and spent[item]:
        return False
    exposures.add(shown, np.array([item]), now)
    return True


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 3.0, 20.0, 70.0, 130.0, 1e4]), st.integers(0, 3)), max_size=60))
def test_no_window_holds_more_than_the_limit_and_none_is_refused_for_longer_than_it_must(steps) -> None:
    exposures, shown, now = Exposures(), display(), 1e9
    delivered: list[tuple[float, int]] = []
    limits = [2, 6, 0, 10**9]
    for step, item in steps:
        now += step
        surely = sum(at > now - WINDOW_S and of == item for at, of in delivered)
        perhaps = sum(at > now - WINDOW_S * 1.05 - 1e-3 and of == item for at, of in delivered)
        was = deliver(exposures, shown, item, now)
        assert not (was and surely >= limits[item])
        assert was or perhaps >= limits[item]
        if was:
            delivered.append((now, item))


@pytest.mark.parametrize("start", [0.0, 1.3, 4.9, 5.0])
def test_a_delivery_counts_for_the_whole_window_wherever_it_begins_and_a_twentieth_longer_at_most(start) -> None:
    exposures, shown = Exposures(), display()
    assert all(deliver(exposures, shown, 0, start) for _ in range(2))
    assert not deliver(exposures, shown, 0, start + WINDOW_S - 0.01)
    assert deliver(exposures, shown, 0, start + WINDOW_S * 1.05 + 0.01)


def test_counts_go_with_their_items_into_another_catalogue() -> None:
    exposures, before = Exposures(), display()
    for now in (0.0, 30.0):
        assert deliver(exposures, before, 0, now)
    assert not deliver(exposures, before, 0, 40.0)
    longer = display(*ITEMS, Item("new", stock=1))
    assert not deliver(exposures, longer, 0, 40.0)
    assert deliver(exposures, longer, 4, 40.0)
    turned = display(*reversed(ITEMS))  # `new` is gone, the others are elsewhere
    assert not deliver(exposures, turned, 3, 40.0)
    assert deliver(exposures, turned, 2, 40.0)
    assert deliver(exposures, turned, 3, 106.0)  # the first is over, the second not
    assert not deliver(exposures, turned, 3, 107.0)


def test_a_new_stock_counts_at_once() -> None:
    exposures = Exposures()
    assert all(deliver(exposures, display(), 0, 1.0) for _ in range(2))
    assert not deliver(exposures, display(), 0, 1.0)
    assert deliver(exposures, display(Item("one", stock=2)), 0, 1.0)


def test_forgets_the_items_of_past_slices() -> None:
    exposures, shown = Exposures(), display()
    for now in range(0, 10_000, 10):
        deliver(exposures, shown, 3, float(now))
    assert len(exposures._slices) <= 21
    assert exposures._counts.sum() <= 11


def test_what_was_delivered_before_the_clock_went_back_counts_for_one_more_window() -> None:
    exposures, shown = Exposures(), display()
    assert all(deliver(exposures, shown, 0, 1e9 + 1e6) for _ in range(2))
    assert not deliver(exposures, shown, 0, 1e9)
    assert not deliver(exposures, shown, 0, 1e9 + WINDOW_S - 1)
    assert deliver(exposures, shown, 0, 1e9 + WINDOW_S * 1.05 + 1)
