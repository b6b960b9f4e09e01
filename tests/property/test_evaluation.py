"""Laws of the estimators that hold for every log."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omakase.core.evaluation import Estimate, clustered_rate, ips, lift, snips

rows = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.one_of(st.just(0.0), st.floats(1e-6, 1e4))), min_size=1, max_size=60
)
people = st.lists(
    st.integers(0, 30).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=40
)


def split(pairs: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([a for a, _ in pairs], dtype=float), np.array([b for _, b in pairs], dtype=float)


@given(rows)
def test_the_value_lies_in_its_interval_and_clicks_are_not_negative(pairs: list[tuple[float, float]]) -> None:
    for estimate in (ips, snips):
        found = estimate(*split(pairs))
        assert 0 <= found.low <= found.value <= found.high
        assert found.effective_n <= found.n * (1 + 1e-9)


@given(rows, st.floats(1e-3, 1e3))
def test_snips_does_not_care_for_a_constant_error_in_the_propensities(
    pairs: list[tuple[float, float]], factor: float
) -> None:
    rewards, weights = split(pairs)
    one, other = snips(rewards, weights), snips(rewards, weights * factor)
    assert (other.value, other.low, other.high) == pytest.approx((one.value, one.low, one.high), rel=1e-6, abs=1e-12)


@given(rows, st.randoms())
def test_the_order_of_rows_does_not_matter(pairs: list[tuple[float, float]], random: object) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for estimate in (ips, snips):
        one, other = estimate(*split(pairs)), estimate(*split(shuffled))
        assert (other.value, other.low, other.high) == pytest.approx(
            (one.value, one.low, one.high), rel=1e-6, abs=1e-12
        )


@given(people)
def test_people_without_an_impression_change_nothing(units: list[tuple[int, int]]) -> None:
    one, other = clustered_rate(*split(units)), clustered_rate(*split([*units, (0, 0)]))
    assert other.n == one.n
    assert (other.value, other.low, other.high) == pytest.approx((one.value, one.low, one.high), rel=1e-12)


@given(people)
def test_four_times_the_people_narrow_the_interval(units: list[tuple[int, int]]) -> None:
    one, more = clustered_rate(*split(units)), clustered_rate(*split(units * 4))
    assert more.value == pytest.approx(one.value)
    assert more.high - more.low <= (one.high - one.low) * (1 + 1e-9)


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    value = draw(st.floats(1e-4, 1.0))
    low, high = value * draw(st.floats(0.0, 1.0)), value * draw(st.floats(1.0, 10.0))
    return Estimate(value, low, high, 10, 10.0)


@given(estimates(), estimates())
def test_lift_excludes_zero_wherever_the_rates_are_apart(treatment: Estimate, control: Estimate) -> None:
    found = lift(treatment, control)
    assert found is not None
    assert -1 <= found.low <= found.value <= found.high
    if treatment.low > control.high:
        assert found.low > -1e-9
    if treatment.high < control.low:
        assert found.high < 1e-9
