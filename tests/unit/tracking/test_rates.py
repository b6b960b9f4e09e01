"""Rates over a sliding minute, in bounded memory."""

from __future__ import annotations

from tracking.traffic import Rates


def over(rates: Rates, name: str, moments: list[float]) -> int:
    return sum(rates.excess(name, 1, at) for at in moments)


def test_up_to_the_limit_nothing_is_over_and_everything_beyond_it_is() -> None:
    rates = Rates(100)
    assert rates.excess("a", 60, 1000.0) == 0
    assert rates.excess("a", 60, 1001.0) == 20
    assert rates.excess("a", 5, 1002.0) == 5
    assert rates.excess("b", 100, 1002.0) == 0


def test_steady_traffic_within_the_limit_is_never_over_and_at_twice_the_limit_mostly() -> None:
    assert over(Rates(60), "a", [1200 + n * 1.05 for n in range(600)]) == 0
    assert over(Rates(60), "a", [1200 + n * 0.5 for n in range(1200)]) > 1000


def test_a_burst_across_a_minute_s_end_is_seen() -> None:
    rates = Rates(60)
    assert rates.excess("a", 60, 1259.0) == 0
    assert rates.excess("a", 60, 1261.0) == 59


def test_after_a_quiet_minute_the_past_is_forgiven() -> None:
    rates = Rates(10)
    assert rates.excess("a", 100, 1200.0) == 90
    assert rates.excess("a", 10, 1320.0) == 0


def test_a_clock_that_goes_back_does_not_forgive() -> None:
    rates = Rates(10)
    assert rates.excess("a", 10, 1300.0) == 0
    assert rates.excess("a", 5, 1230.0) == 5


def test_what_waited_for_its_delivery_is_not_taken_for_a_rush() -> None:
    rates = Rates(10)
    assert rates.excess("a", 1, 1800.0) == 0
    assert over(rates, "a", [1200.0 + n for n in range(45)]) == 0
    assert rates.excess("a", 9, 1801.0) == 0


def test_remembers_a_bounded_number_of_names_and_forgets_the_longest_unseen() -> None:
    rates = Rates(1, remembered=2)
    for name in ("a", "b", "a", "c"):
        rates.excess(name, 1, 1200.0)
    assert (rates.excess("a", 1, 1201.0), rates.excess("b", 1, 1201.0)) == (1, 0)
