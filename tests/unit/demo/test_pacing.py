"""Shoppers come as fast as the machine bears, and no faster."""

from __future__ import annotations

import numpy as np
import pytest

from omakase.demo.pacing import FLOOR, Pacer


def seconds_of(pacer: Pacer, latency_ms: float, seconds: int, start: float = 0.0, *, is_healthy: bool = True) -> float:
    """Let `seconds` windows pass with answers that take `latency_ms`. Returns the time after them."""
    now = start
    for _ in range(seconds):
        for _ in range(20):
            pacer.answered(latency_ms, is_healthy=is_healthy)
        now += 1.0
        pacer.adjust(now)
    return now


def test_quick_answers_raise_the_rate_to_the_ceiling_and_no_further() -> None:
    pacer = Pacer(200.0)
    before = pacer.rate
    seconds_of(pacer, 5.0, 1)
    assert before < pacer.rate < 200.0
    seconds_of(pacer, 5.0, 60, 1.0)
    assert pacer.rate == 200.0


def test_slow_answers_lower_the_rate_to_the_floor_and_no_further() -> None:
    pacer = Pacer(200.0)
    seconds_of(pacer, 500.0, 40)
    assert pacer.rate == FLOOR


def test_fallbacks_errors_and_crowding_lower_the_rate_however_quick_the_answers() -> None:
    for strain in (
        lambda pacer: pacer.answered(1.0, is_healthy=False),
        lambda pacer: pacer.strain(),
        lambda pacer: pacer.admits(pacer.max_in_flight),
    ):
        pacer = Pacer(200.0)
        before = pacer.rate
        strain(pacer)
        pacer.adjust(1.0)
        assert pacer.rate < before


def test_it_recovers_after_a_stall() -> None:
    pacer = Pacer(200.0)
    now = seconds_of(pacer, 500.0, 5)
    low = pacer.rate
    seconds_of(pacer, 5.0, 5, now)
    assert pacer.rate > low


def test_silence_is_no_reason_to_speed_up() -> None:
    pacer = Pacer(200.0)
    before = pacer.rate
    pacer.adjust(10.0)
    assert pacer.rate == before


def test_a_full_house_admits_nobody() -> None:
    pacer = Pacer(200.0, max_in_flight=3)
    assert pacer.admits(2)
    assert not pacer.admits(3)


def test_gaps_average_to_the_rate() -> None:
    pacer = Pacer(100.0)
    rng = np.random.default_rng(1)
    gaps = [pacer.gap_s(rng) for _ in range(10_000)]
    # Four standard errors of an exponential mean: 4 / sqrt(10,000).
    assert np.mean(gaps) == pytest.approx(1 / pacer.rate, rel=0.04)
