"""The laws that let batches merge in any order and late rewards be corrections."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from omakase.core.posterior import Posterior, Statistics

D = 4
NUMBERS = st.floats(-10, 10).map(lambda number: round(number, 6))


@dataclass(frozen=True)
class Batch:
    x: NDArray[np.float64]
    click: NDArray[np.float64]
    reward: NDArray[np.float64]
    w: NDArray[np.float64]

    def statistics(self) -> Statistics:
        return Statistics.of(self.x, {"click": self.click, "reward": self.reward}, self.w)


@st.composite
def batches(draw: st.DrawFn, min_size: int = 0) -> Batch:
    n = draw(st.integers(min_size, 6))

    def column(numbers: st.SearchStrategy[float]) -> NDArray[np.float64]:
        return draw(arrays.arrays(np.float64, n, elements=numbers))

    x = draw(arrays.arrays(np.float64, (n, D), elements=NUMBERS))
    return Batch(x, column(st.sampled_from([0.0, 1.0])), column(NUMBERS), column(st.floats(0.01, 2)))


def assert_same(a: Statistics, b: Statistics) -> None:
    np.testing.assert_allclose(a.precision, b.precision, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(a.weight, b.weight, rtol=1e-9)
    assert a.examples == b.examples
    assert a.outcomes.keys() == b.outcomes.keys()
    for name in a.outcomes:
        np.testing.assert_allclose(a.outcomes[name].moment, b.outcomes[name].moment, rtol=1e-9, atol=1e-7)
        np.testing.assert_allclose(a.outcomes[name].energy, b.outcomes[name].energy, rtol=1e-9, atol=1e-7)


@given(batches(), batches())
def test_merging_commutes(a: Batch, b: Batch) -> None:
    assert_same(a.statistics() + b.statistics(), b.statistics() + a.statistics())


@given(batches(), batches(), batches())
def test_merging_associates(a: Batch, b: Batch, c: Batch) -> None:
    one, two, three = a.statistics(), b.statistics(), c.statistics()
    assert_same((one + two) + three, one + (two + three))


@given(batches())
def test_empty_is_neutral(batch: Batch) -> None:
    assert_same(batch.statistics() + Statistics.empty(D), batch.statistics())
    assert_same(Statistics.empty(D) + batch.statistics(), batch.statistics())


@given(batches(), batches())
def test_merging_two_batches_equals_summarising_them_as_one(a: Batch, b: Batch) -> None:
    both = Batch(*(np.concatenate([getattr(a, name), getattr(b, name)]) for name in ("x", "click", "reward", "w")))
    assert_same(a.statistics() + b.statistics(), both.statistics())


@given(batches(min_size=1), st.data())
def test_a_correction_equals_learning_with_the_corrected_outcome_in_the_first_place(batch: Batch, data) -> None:
    i = data.draw(st.integers(0, len(batch.w) - 1))
    observed = {"click": 1.0, "reward": data.draw(NUMBERS)}
    learnt = {"click": batch.click[i], "reward": batch.reward[i]}
    corrected = batch.statistics() + Statistics.correction(batch.x[i], batch.w[i], learnt, observed)
    batch.click[i], batch.reward[i] = observed["click"], observed["reward"]
    assert_same(corrected, batch.statistics())


@given(batches(), st.floats(1e-3, 1e3))
def test_precision_times_covariance_is_the_identity_for_any_prior(batch: Batch, prior_precision: float) -> None:
    statistics = batch.statistics()
    posterior = Posterior.of(statistics, "reward", prior_precision)
    deviations = posterior.deviation_map() / posterior.noise
    covariance = deviations @ deviations.T
    precision = statistics.precision + prior_precision * np.eye(D)
    # Rounding grows with the condition number, at most about 8·2·4·100/1e-3 here.
    np.testing.assert_allclose(precision @ covariance, np.eye(D), atol=1e-6)


@given(batches(), st.floats(1e-3, 1e3))
def test_the_mean_solves_the_normal_equations(batch: Batch, prior_precision: float) -> None:
    posterior = Posterior.of(batch.statistics(), "reward", prior_precision)
    a = (batch.x * batch.w[:, None]).T @ batch.x + prior_precision * np.eye(D)
    b = batch.x.T @ (batch.w * batch.reward)
    np.testing.assert_allclose(a @ posterior.mean, b, rtol=1e-6, atol=1e-6)


@given(batches(), batches(), batches(), st.lists(st.floats(1.6e9, 1.7e9), min_size=3, max_size=3))
def test_sums_of_different_times_add_in_any_order_and_weigh_as_of_the_latest(
    a: Batch, b: Batch, c: Batch, times
) -> None:
    half_life_s = 3e7
    parts = [
        replace(batch.statistics(), as_of=at, half_life_s=half_life_s)
        for batch, at in zip((a, b, c), times, strict=True)
    ]
    one, two, three = parts
    assert_same((one + two) + three, three + (two + one))
    latest = max(times)
    weight = sum(part.weight * 2 ** ((at - latest) / half_life_s) for part, at in zip(parts, times, strict=True))
    total = one + two + three
    np.testing.assert_allclose(total.weight, weight, rtol=1e-9)
    assert (total.as_of, total.half_life_s) == (latest, half_life_s)
