"""Contracts of the orders that wait, and of what they were attributed to."""

from dataclasses import replace

import pytest

from omakase.ports.orders import Credit, Order


def order(n: int, received_at: float | None = None, value: float | None = 9.5) -> Order:
    at = float(n) if received_at is None else received_at
    return Order(n.to_bytes(16, "big"), b"line" * 4, "conversion", ("anna", "ben"), 'i"ü', value, at - 5, at)


def credit(n: int, received_at: float = 1.0, unit: str = "anna") -> Credit:
    request_id = n.to_bytes(16, "little")
    return Credit(n.to_bytes(16, "big"), received_at, request_id, 2, 0.5, "home", "learnt", "ts", unit, "i1")


@pytest.fixture
def orders(orders_stores):
    return orders_stores.open()


@pytest.fixture
def credits(credits_stores):
    return credits_stores.open()


def test_no_order_waits_at_first(orders):
    assert (orders.due(1e12, 10), orders.waiting()) == ([], 0)


def test_orders_are_due_by_age_oldest_first_and_at_most_as_many_as_asked(orders):
    orders.keep([order(3), order(1, value=None), order(2)])
    assert orders.due(3.0, 10) == [order(1, value=None), order(2)]
    assert orders.due(float("inf"), 2) == [order(1, value=None), order(2)]
    assert orders.waiting() == 3


def test_an_order_kept_twice_is_kept_once_and_a_released_one_is_forgotten(orders):
    orders.keep([order(1), order(1), order(2)])
    orders.keep([order(2)])
    assert orders.waiting() == 2
    orders.release([order(1).receipt_id, b"unknown"])
    orders.release([order(1).receipt_id])
    assert orders.due(1e12, 10) == [order(2)]


def test_orders_of_forgotten_people_are_nobodys_and_still_wait(orders):
    other = replace(order(2), people=("eve",))
    orders.keep([order(1), other])
    assert orders.forget(["ben", "nobody", ""]) == 1
    assert orders.due(1e12, 10) == [replace(order(1), people=()), other]
    assert orders.forget([]) == 0


def test_another_process_finds_the_orders_when_it_opens_the_same_storage(orders_stores):
    orders_stores.open().keep([order(1)])
    assert orders_stores.open().due(1e12, 10) == [order(1)]


def test_finds_the_credits_that_are_known(credits):
    credits.put([credit(1), credit(2)])
    assert credits.find([credit(1).line, credit(3).line]) == {credit(1).line: credit(1)}
    assert credits.find([]) == {}


def test_the_first_credit_of_a_line_stays(credits):
    credits.put([credit(1)])
    credits.put([replace(credit(1), position=1), credit(2)])
    assert credits.find([credit(1).line, credit(2).line]) == {credit(1).line: credit(1), credit(2).line: credit(2)}


def test_old_credits_expire_in_bounded_steps(credits):
    credits.put([credit(n) for n in range(12_000)])
    credits.put([credit(20_000, received_at=2.0)])
    steps = [credits.expire(2.0)]
    while steps[-1]:
        steps.append(credits.expire(2.0))
    assert (sum(steps), max(steps) <= 10_000) == (12_000, True)
    assert list(credits.find([credit(20_000).line])) == [credit(20_000).line]


def test_credits_of_forgotten_people_are_nobodys_and_still_lead_a_return_home(credits):
    credits.put([credit(1), credit(2, unit="ben"), credit(3, unit="")])
    assert credits.forget(["anna", ""]) == 1
    found = credits.find([credit(n).line for n in (1, 2, 3)])
    assert [found[credit(n).line].unit for n in (1, 2, 3)] == ["", "ben", ""]
    assert found[credit(1).line].request_id == credit(1).request_id
