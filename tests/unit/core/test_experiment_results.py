"""Differences that are significant as often as they say. Simulations are seeded; tolerances are stated beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from omakase.core.errors import InvalidInput
from omakase.core.evaluation import Estimate, Z, clustered_rate
from omakase.core.experiment_results import METRICS, ArmResult, Difference, Outcomes, compare, mean_value

EXPERIMENTS = 1000
LEVEL = 0.05
TOLERANCE = 0.02
"""Three standard errors of a share of 1000 at 5 %."""
LOOKS = 16


def crowd(rng: np.random.Generator, people: int, rate: float = 0.05, likeness: float = 0.1) -> Outcomes:
    """People who differ in how much they see and how readily they click: beta-binomial, with geometric visits."""
    impressions = rng.geometric(0.1, people).astype(float)
    own = rng.beta(rate / likeness, (1 - rate) / likeness, people)
    clicks = rng.binomial(impressions.astype(int), own).astype(float)
    conversions = rng.binomial(clicks.astype(int), 0.15).astype(float)
    return Outcomes(impressions, clicks, conversions, conversions * rng.lognormal(3.0, 0.8, people))


def naive(outcomes: Outcomes) -> tuple[float, float]:
    """Rate and standard error as if impressions were independent."""
    rate = float(outcomes.clicks.sum() / outcomes.impressions.sum())
    return rate, math.sqrt(rate * (1 - rate) / float(outcomes.impressions.sum()))


def ctr(outcomes: Outcomes) -> Estimate:
    return clustered_rate(outcomes.clicks, outcomes.impressions)


@pytest.fixture(scope="module")
def same() -> list[tuple[Outcomes, Outcomes]]:
    """A/A experiments of 2 × 1,000 people."""
    rng = np.random.default_rng(2018)
    return [(crowd(rng, 1000), crowd(rng, 1000)) for _ in range(EXPERIMENTS)]


def test_one_a_a_experiment_in_twenty_is_significant_by_each_metric(same) -> None:
    results = [(ArmResult.of(a).metrics, ArmResult.of(b).metrics) for a, b in same]
    for metric in METRICS:
        found = np.mean([compare(a[metric], b[metric]).is_significant for a, b in results])
        assert found == pytest.approx(LEVEL, abs=TOLERANCE), metric


def test_impressions_taken_for_independent_make_an_a_a_experiment_significant_far_too_often(same) -> None:
    pairs = [(naive(a), naive(b)) for a, b in same]
    found = [abs(a - b) > Z * math.hypot(error_a, error_b) for (a, error_a), (b, error_b) in pairs]
    assert np.mean(found) > 4 * LEVEL


def test_a_click_rate_s_interval_covers_it_where_clicks_go_with_persons_and_the_naive_one_does_not(same) -> None:
    truth = 0.05
    rates = [(ctr(a), naive(a)) for a, _ in same]
    covered = np.mean([rate.low <= truth <= rate.high for rate, _ in rates])
    assert covered == pytest.approx(1 - LEVEL, abs=TOLERANCE)
    assert np.mean([abs(rate - truth) <= Z * error for _, (rate, error) in rates]) < 0.85


def test_a_difference_that_is_there_is_covered_by_both_intervals() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(EXPERIMENTS):
        a, b = (ctr(crowd(rng, 1000, rate)) for rate in (0.06, 0.05))
        found.append(compare(a, b))
    absolute = np.mean([one.absolute.low <= 0.01 <= one.absolute.high for one in found])
    relative = np.mean([one.relative.low <= 0.2 <= one.relative.high for one in found])
    assert (absolute, relative) == pytest.approx((1 - LEVEL, 1 - LEVEL), abs=TOLERANCE)


def test_the_difference_s_interval_is_the_delta_method_s_where_people_are_many() -> None:
    rng = np.random.default_rng(8)
    a, b = crowd(rng, 50_000, 0.06), crowd(rng, 50_000, 0.05)

    def rate_and_variance(arm: Outcomes) -> tuple[float, float]:
        """Deng, Knoblich & Lu 2018, equation 5."""
        n, s, k = arm.impressions, arm.clicks, arm.impressions.size
        covariance = np.cov(s, n)
        mean = n.mean()
        rate = s.mean() / mean
        return rate, (covariance[0, 0] - 2 * rate * covariance[0, 1] + rate**2 * covariance[1, 1]) / mean**2 / k

    (rate_a, variance_a), (rate_b, variance_b) = rate_and_variance(a), rate_and_variance(b)
    found = compare(ctr(a), ctr(b)).absolute
    half = Z * math.sqrt(variance_a + variance_b)
    assert (found.low, found.high) == pytest.approx((rate_a - rate_b - half, rate_a - rate_b + half), rel=0.01)


def looked_at(rng: np.random.Generator, rates: tuple[float, float]) -> list[tuple[Difference, Difference]]:
    """An experiment looked at day by day: new people come, and those who came come again. One look's, always valid."""
    arms = []
    for rate in rates:
        own = rng.beta(rate / 0.1, (1 - rate) / 0.1, 80 * LOOKS)
        came = np.sort(rng.integers(0, LOOKS, own.size))
        seen = rng.poisson(2.0, (LOOKS, own.size)) * (came <= np.arange(LOOKS)[:, None])
        clicks = rng.binomial(seen, own)
        arms.append((came, np.cumsum(seen, axis=0), np.cumsum(clicks, axis=0)))
    found = []
    for day in range(2, LOOKS):
        a, b = (clustered_rate(clicks[day, came <= day], seen[day, came <= day]) for came, seen, clicks in arms)
        found.append((compare(a, b), compare(a, b, is_always_valid=True)))
    return found


def test_only_an_always_valid_interval_may_be_looked_at_every_day() -> None:
    rng = np.random.default_rng(2021)
    experiments = [looked_at(rng, (0.05, 0.05)) for _ in range(150)]
    once, always = np.mean(
        [np.any([[a.is_significant, b.is_significant] for a, b in e], axis=0) for e in experiments], axis=0
    )
    assert once > 3 * LEVEL
    assert always <= LEVEL


def test_an_always_valid_interval_finds_a_difference_that_is_large_enough() -> None:
    rng = np.random.default_rng(3)
    experiments = [[always for _, always in looked_at(rng, (0.085, 0.05))] for _ in range(40)]
    assert np.mean([any(one.is_significant for one in looks) for looks in experiments]) > 0.9
    assert np.mean([looks[-1].absolute.low <= 0.035 <= looks[-1].absolute.high for looks in experiments]) > 0.95


def test_an_always_valid_interval_is_half_as_wide_again_at_its_best() -> None:
    def widening(error: float) -> float:
        arm = Estimate(1.0, 1.0 - Z * error, 1.0 + Z * error, 100, 100.0)
        once, always = compare(arm, arm), compare(arm, arm, is_always_valid=True)
        return always.absolute.high / once.absolute.high

    # The difference's error is the root of 2 of the arms'; the prior is a tenth of the control, 1.
    found = {error: widening(error) for error in (0.2, 0.05, 0.025, 0.01, 0.001)}
    assert min(found.values()) == found[0.025] == pytest.approx(1.55, abs=0.01)
    assert max(found.values()) < 4


def test_value_s_interval_covers_it_better_than_a_symmetric_one_where_few_people_buy() -> None:
    rng = np.random.default_rng(9)
    people, truth, covered = 2000, 0.03 * math.exp(0.5), np.zeros(2)
    for _ in range(EXPERIMENTS):
        value = np.where(rng.random(people) < 0.03, rng.lognormal(0.0, 1.0, people), 0.0)
        found = mean_value(value)
        half = Z * value.std(ddof=1) / math.sqrt(people)
        covered += (found.low <= truth <= found.high, abs(value.mean() - truth) <= half)
    gamma, normal = covered / EXPERIMENTS
    assert gamma >= 0.93
    assert gamma > normal + 0.015


def test_people_who_returned_more_than_they_bought_pull_the_value_below_nothing() -> None:
    found = mean_value(np.array([10.0, -40.0, 0.0, 0.0]))
    assert (found.value, found.low < -7.5 < found.high) == (-7.5, True)


def test_without_an_order_there_is_no_upper_limit_and_no_difference() -> None:
    nothing, something = mean_value(np.zeros(100)), mean_value(np.r_[np.zeros(90), np.full(10, 5.0)])
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, math.inf)
    assert compare(something, nothing) == compare(nothing, something) == Difference(None, None)
    assert not Difference(None, None).is_significant


def test_nobody_and_nothing_seen_is_no_division_by_zero() -> None:
    empty = ArmResult.of(Outcomes(*(np.zeros(0) for _ in range(4))))
    unseen = ArmResult.of(Outcomes(*(np.zeros(50) for _ in range(4))))
    assert (empty.people, unseen.people, unseen.metrics["ctr"].value) == (0, 50, 0.0)
    for metric in METRICS:
        assert not compare(unseen.metrics[metric], empty.metrics[metric], is_always_valid=True).is_significant


def test_an_arm_s_totals_are_those_of_its_people() -> None:
    found = ArmResult.of(
        Outcomes(*(np.array(one, dtype=float) for one in ([4, 0, 6], [1, 0, 2], [3, 0, 0], [30, 0, 0])))
    )
    assert (found.people, found.impressions, found.clicks, found.converted, found.value) == (3, 10, 3, 1, 30.0)
    assert [found.metrics[metric].value for metric in METRICS] == pytest.approx([0.3, 1 / 3, 10.0])


@pytest.mark.parametrize(
    "columns",
    [([1.0], [0.0], [0.0], [0.0, 0.0]), ([1.0], [0.0], [0.0], [math.nan]), ([[1.0]], [[0.0]], [[0.0]], [[0.0]])],
)
def test_columns_that_are_no_people_are_refused(columns) -> None:
    with pytest.raises(InvalidInput):
        Outcomes(*map(np.array, columns))
