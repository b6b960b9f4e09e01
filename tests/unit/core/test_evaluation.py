"""Intervals that cover. Simulations are seeded; tolerances are stated beside them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import chi2

from omakase.core.errors import InvalidInput
from omakase.core.evaluation import Estimate, clustered_rate, ips, is_too_close_to_rank, lift, snips
from omakase.replay.generate import World

LOGS = 600
ROWS = 10_000
CTR = 0.005
COVERAGE = 0.93
"""What weighted intervals promise; the standard error of a share of 600 is 0.9 %, and they aim at 95 %."""
CROWDS = 3000
RATE_COVERAGE = 0.94
"""95 % less two and a half standard errors of a share of 3000, 0.4 % each: fine enough to tell 95 from 93 %."""


def lognormal(rng: np.random.Generator, sigma: float = 1.0) -> tuple[np.ndarray, np.ndarray, float]:
    weights = rng.lognormal(-(sigma**2) / 2, sigma, ROWS)
    return (rng.random(ROWS) < CTR), weights, CTR


def heavy_lognormal(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    return lognormal(rng, sigma=1.5)


WORLD = World.random(np.random.default_rng(5), base_rate=CTR)


def uniform_of_a_softmax_log(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    rows = WORLD.sample(ROWS, rng)
    return rows.click, WORLD.weights(WORLD.uniform, rows), WORLD.value(WORLD.uniform)


def matches_of_a_softmax_log(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    rows = WORLD.sample(ROWS, rng)
    is_match = rng.random(ROWS) < WORLD.uniform[rows.context, rows.position, rows.item]
    return rows.click, is_match / rows.propensity, WORLD.value(WORLD.uniform)


@pytest.mark.parametrize("estimate", [ips, snips])
@pytest.mark.parametrize(
    "draw", [lognormal, heavy_lognormal, uniform_of_a_softmax_log, matches_of_a_softmax_log], ids=lambda d: d.__name__
)
def test_interval_covers_the_truth_where_clicks_are_rare(
    draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray, float]], estimate: Callable[..., Estimate]
) -> None:
    rng = np.random.default_rng(2019)
    covered = 0
    for _ in range(LOGS):
        rewards, weights, truth = draw(rng)
        found = estimate(rewards, weights)
        covered += found.low <= truth <= found.high
    assert covered / LOGS >= COVERAGE


def test_interval_is_not_wider_than_needed_where_weights_are_tame() -> None:
    rng = np.random.default_rng(3)
    rewards, weights, _ = lognormal(rng, sigma=0.5)
    found = ips(rewards, weights)
    normal = 2 * 1.96 * float((rewards * weights).std()) / math.sqrt(ROWS)
    assert found.high - found.low < 1.15 * normal


@pytest.mark.parametrize("clicks", [0, 1, 5, 50])
def test_equal_weights_give_the_exact_poisson_interval(clicks: int) -> None:
    rewards = np.zeros(1_000_000)
    rewards[:clicks] = 1
    found = ips(rewards, np.ones(rewards.size))
    low = chi2.ppf(0.025, 2 * clicks) / 2 if clicks else 0.0
    assert found.low * rewards.size == pytest.approx(low, rel=1e-3)
    assert found.high * rewards.size == pytest.approx(chi2.ppf(0.975, 2 * clicks + 2) / 2, rel=1e-3)


def test_a_thousand_clicks_of_two_give_no_width_by_accident() -> None:
    found = snips(np.ones(1000), np.full(1000, 2.0))
    assert found.value == 1.0
    assert found.low <= 1.0 <= found.high


def test_nothing_matched_leaves_the_value_unbounded() -> None:
    assert ips([0, 1], [0, 0]) == Estimate(0.0, 0.0, math.inf, 2, 0.0)
    assert snips([], []) == Estimate(0.0, 0.0, math.inf, 0, 0.0)


def test_ips_and_snips_are_the_weighted_sums_of_the_papers() -> None:
    rewards, weights = [1, 0, 1, 0], [2.0, 0.5, 1.0, 0.5]
    assert ips(rewards, weights).value == pytest.approx(3 / 4)
    assert snips(rewards, weights).value == pytest.approx(3 / 4)
    assert snips(rewards, [2.0, 0.5, 1.0, 1.5]).value == pytest.approx(3 / 5)
    assert ips(rewards, weights).effective_n == pytest.approx(16 / 5.5)


@pytest.mark.parametrize(
    ("rewards", "weights"), [([1], [1, 1]), ([1], [-1.0]), ([1], [math.nan]), ([math.inf], [1]), ([[1]], [[1]])]
)
def test_refuses_what_is_no_log(rewards: list[float], weights: list[float]) -> None:
    for estimate in (ips, snips):
        with pytest.raises(InvalidInput):
            estimate(rewards, weights)


def people(rng: np.random.Generator, rate: float, units: int, concentration: float) -> tuple[np.ndarray, np.ndarray]:
    impressions = rng.geometric(0.1, units)
    own = rng.beta(rate * concentration, (1 - rate) * concentration, units)
    return rng.binomial(impressions, own), impressions


@pytest.mark.parametrize(("rate", "units"), [(0.005, 1000), (0.01, 300), (0.02, 300), (0.3, 300)])
def test_rate_covers_the_truth_where_people_differ(rate: float, units: int) -> None:
    rng = np.random.default_rng(7)
    estimates = [clustered_rate(*people(rng, rate, units, 10.0)) for _ in range(CROWDS)]
    assert np.mean([e.low <= rate <= e.high for e in estimates]) >= RATE_COVERAGE


def test_people_who_click_everything_count_for_less_than_their_impressions() -> None:
    alike = clustered_rate([10] * 5 + [0] * 95, [10] * 100)
    apart = clustered_rate([1] * 50 + [0] * 50, [10] * 100)
    assert alike.value == apart.value == pytest.approx(0.05)
    # A hundred people, less the little that is not known of how much they differ.
    assert 70 < alike.effective_n < 100
    assert apart.effective_n == pytest.approx(1000)
    assert alike.high - alike.low > 2 * (apart.high - apart.low)


def test_rate_without_clicks_is_bounded_by_the_impressions_and_without_impressions_by_nothing() -> None:
    assert clustered_rate([0, 0], [50, 50]).high == pytest.approx(1.96**2 / (100 + 1.96**2), rel=1e-3)
    assert clustered_rate([0], [0]) == Estimate(0.0, 0.0, 1.0, 0, 0.0)


def test_refuses_more_clicks_than_impressions() -> None:
    with pytest.raises(InvalidInput, match="no more than impressions"):
        clustered_rate([2], [1])


@pytest.mark.parametrize(("treatment", "control"), [(0.03, 0.015), (0.01, 0.01), (0.2, 0.3)])
def test_lift_covers_the_truth(treatment: float, control: float) -> None:
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(CROWDS):
        found = lift(*(clustered_rate(*people(rng, rate, 300, 10.0)) for rate in (treatment, control)))
        covered += found is not None and found.low <= treatment / control - 1 <= found.high
    assert covered / CROWDS >= RATE_COVERAGE


def test_lift_of_symmetric_intervals_is_fiellers() -> None:
    treatment, control = Estimate(6.0, 5.0, 7.0, 10, 10.0), Estimate(4.0, 3.5, 4.5, 10, 10.0)
    found = lift(treatment, control)
    assert found is not None
    # The roots of (6 - 4ρ)² = 1² + (0.5ρ)²: Fieller's equation with these half-widths.
    roots = np.sort(np.roots([4.0**2 - 0.5**2, -2 * 6.0 * 4.0, 6.0**2 - 1.0**2]))
    assert [found.low + 1, found.high + 1] == pytest.approx(list(roots))
    assert found.value == pytest.approx(0.5)


def test_lift_needs_a_control_that_was_clicked_and_may_be_unbounded_above() -> None:
    some, nothing = Estimate(0.02, 0.01, 0.03, 100, 100.0), Estimate(0.0, 0.0, 0.01, 100, 100.0)
    assert lift(some, nothing) is None
    unsure = lift(some, Estimate(0.01, 0.0, 0.05, 100, 100.0))
    assert unsure is not None
    assert unsure.high == math.inf
    none = lift(nothing, some)
    assert none is not None
    assert (none.value, none.low) == (-1.0, -1.0)


def test_policies_are_ranked_when_apart_or_alike_and_not_when_unsure() -> None:
    low, high = Estimate(0.010, 0.009, 0.011, 9, 9.0), Estimate(0.020, 0.018, 0.022, 9, 9.0)
    alike, unsure = Estimate(1.00, 0.98, 1.02, 9, 9.0), Estimate(0.015, 0.005, 0.040, 9, 9.0)
    assert not is_too_close_to_rank([low, high])
    assert not is_too_close_to_rank([alike, alike])
    assert is_too_close_to_rank([low, high, unsure])
    assert is_too_close_to_rank([low, low])
    assert not is_too_close_to_rank([unsure])


@pytest.mark.parametrize("limits", [(1.0, 2.0, 3.0), (1.0, 0.0, 0.5), (math.nan, 0.0, 1.0), (1.0, -math.inf, 2.0)])
def test_an_estimate_lies_within_its_limits(limits: tuple[float, float, float]) -> None:
    value, low, high = limits
    with pytest.raises(InvalidInput):
        Estimate(value, low, high, 1, 1.0)
