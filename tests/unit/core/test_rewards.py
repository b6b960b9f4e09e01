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


HISTORY = [
    event(1, "impression", at=1.0),
    event(4, "click", at=3.0),
    ordered(2, "conversion", "o1", 8.0),
    event(3, "like", 5.0, at=3.0),
]


@pytest.mark.parametrize(("combination", "reward"), [("sum", 9.9), ("max", 5.0), ("first", 4.0), ("last", 1.0)])
def test_rewards_combine_by_receipt_whatever_the_order_they_are_given_in(combination, reward) -> None:
    table = RewardTable({"impression": -0.1, "click": 1.0, "conversion": 0.5, "like": 1.0}, combination=combination)
    for events in permutations(HISTORY):  # the order was received first, and of one time the lower receipt
        assert table.outcomes(events)["reward"] == pytest.approx(reward)


@pytest.mark.parametrize("combination", ["sum", "max", "first", "last"])
def test_what_has_no_weight_is_no_event_and_nothing_is_worth_nothing(combination) -> None:
    table = RewardTable({"dislike": -1.0}, combination=combination)
    assert table.outcomes([event(1, "impression", at=1.0)])["reward"] == 0.0
    events = [event(1, "impression", at=1.0), event(2, "dislike", at=2.0), event(3, "click", at=3.0)]
    assert table.outcomes(events) == {"click": 1.0, "reward": -1.0}


@pytest.mark.parametrize("combination", ["sum", "max", "first", "last"])
def test_an_order_that_was_returned_whole_counts_as_none(combination) -> None:
    table = RewardTable({"dislike": -1.0, "conversion": 1.0}, combination=combination)
    events = [event(9, "dislike", at=-1.0), ordered(1, "conversion", "o1", 8.0)]
    for back in (None, 8.0):
        assert table.outcomes([*events, ordered(2, "return", "o1", back)])["reward"] == -1.0
    assert table.outcomes([ordered(1, "conversion", "o1", 8.0), ordered(2, "return", "o1", 3.0)])["reward"] == 5.0
