"""Rewards: what a delivery's events are worth."""

from __future__ import annotations

from itertools import permutations

import pytest

from omakase.core.events import Event
from omakase.core.ids import RequestId
from omakase.core.rewards import RewardTable

TABLE = RewardTable({"click": 1.0, "impression": -0.1, "conversion": 0.5})


def event(number: int, kind: str, value: float | None = None, at: float = 0.0) -> Event:
    return Event(number.to_bytes(16, "big"), RequestId(bytes(16)), 1, kind, at, value, event_id=str(number))


def test_by_default_a_click_is_worth_one_and_nothing_else_is_worth_anything() -> None:
    assert RewardTable().outcomes([event(1, "impression")]) == {"click": 0.0, "reward": 0.0}
    assert RewardTable().outcomes([event(1, "click"), event(2, "conversion", 80.0)]) == {"click": 1.0, "reward": 1.0}


def test_a_value_counts_by_its_weight_and_kinds_add() -> None:
    events = [event(1, "impression"), event(2, "click"), event(3, "conversion", 80.0), event(4, "conversion", 20.0)]
    assert TABLE.outcomes(events) == {"click": 1.0, "reward": pytest.approx(-0.1 + 1.0 + 50.0)}


def test_an_impression_and_a_click_count_once_and_no_value_makes_them_more() -> None:
    events = [
        event(1, "click", 1e9, at=9.0),
        event(2, "click", 2.0, at=5.0),
        event(3, "impression"),
        event(4, "impression", -1e9),
    ]
    assert TABLE.outcomes(events) == {"click": 1.0, "reward": pytest.approx(1.0 - 0.1)}


def test_the_order_of_events_is_nothing_to_it() -> None:
    events = [
        event(1, "click", 0.1, 2.0),
        event(2, "click", 0.7, 1.0),
        event(3, "conversion", 0.3),
        event(4, "conversion", 1e9),
    ]
    outcomes = [TABLE.outcomes(order) for order in permutations(events)]
    assert all(outcome == outcomes[0] for outcome in outcomes)


def ordered(number: int, kind: str, order: str, value: float | None = None) -> Event:
    return Event(number.to_bytes(16, "big"), RequestId(bytes(16)), 1, kind, 0.0, value, event_id=order)


def test_a_return_takes_back_as_much_of_its_conversion_as_it_says_or_all_of_it() -> None:
    sold = [ordered(1, "conversion", "o1", 80.0), ordered(2, "conversion", "o2", 10.0)]
    assert TABLE.outcomes([*sold, ordered(3, "return", "o1")])["reward"] == 5.0
    assert TABLE.outcomes([*sold, ordered(3, "return", "o1", 30.0)])["reward"] == pytest.approx(25.0 + 5.0)
    assert TABLE.outcomes([*sold, ordered(3, "return", "o9")])["reward"] == 45.0


def test_a_model_that_did_not_ask_for_conversions_learns_from_everything_else() -> None:
    table = RewardTable({"click": 1.0, "conversion": 0.5, "like": 2.0}, frozenset({"buyers"}))
    events = [event(1, "click"), ordered(2, "conversion", "o1", 80.0), event(3, "like")]
    assert table.outcomes(events, "buyers/abc")["reward"] == 43.0
    assert table.outcomes(events, "clickers/abc")["reward"] == 3.0
