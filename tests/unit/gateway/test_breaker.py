from __future__ import annotations

import pytest

from gateway.recommenders.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock) -> Breaker:
    return Breaker(clock, failures=3, first_pause_s=1.0, longest_pause_s=3.0)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed()


def test_opens_after_so_many_failures_in_a_row(breaker):
    fail(breaker, 2)
    assert not breaker.is_open
    breaker.succeeded()
    fail(breaker, 2)
    assert not breaker.is_open
    fail(breaker, 1)
    assert breaker.is_open


def test_opens_at_once_where_there_is_nothing_to_ask(breaker):
    breaker.failed(is_nothing_there=True)
    assert breaker.is_open


def test_lets_one_look_a_pause_that_doubles_up_to_the_longest(breaker, clock):
    assert not breaker.may_look()
    fail(breaker, 3)
    looked_at = []
    for tick in range(1, 31):
        clock.now = 100.0 + tick / 2
        if breaker.may_look():
            assert not breaker.may_look()
            looked_at.append(clock.now - 100.0)
    assert looked_at == [1.0, 3.0, 6.0, 9.0, 12.0, 15.0]


def test_failures_while_it_is_open_do_not_put_off_the_look(breaker, clock):
    fail(breaker, 3)
    clock.now += 0.9
    fail(breaker, 5)
    clock.now += 0.1
    assert breaker.may_look()


def test_a_good_look_closes_it_on_trial_until_something_was_answered(breaker):
    fail(breaker, 3)
    breaker.looked_well()
    assert not breaker.is_open
    fail(breaker, 1)
    assert breaker.is_open
    breaker.looked_well()
    breaker.succeeded()
    fail(breaker, 2)
    assert not breaker.is_open


def test_an_answer_closes_it_whoever_asked(breaker):
    fail(breaker, 3)
    breaker.succeeded()
    assert not breaker.is_open
