"""The posterior against plain numpy, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.posterior import Outcome, Posterior, Statistics

D, N = 5, 300
RNG = np.random.default_rng(42)
X = RNG.standard_normal((N, D))
W = RNG.uniform(0.1, 1.0, N)
Y = X @ np.array([0.5, -1.0, 0.0, 2.0, 0.1]) + 0.7 * RNG.standard_normal(N)
STATISTICS = Statistics.of(X, {"reward": Y}, W)


def test_the_sums_are_those_of_a_loop_over_examples() -> None:
    precision, moment, energy = np.zeros((D, D)), np.zeros(D), 0.0
    for x, y, w in zip(X, Y, W, strict=True):
        precision += w * np.outer(x, x)
        moment += w * y * x
        energy += w * y * y
    assert STATISTICS.precision == pytest.approx(precision)
    assert STATISTICS.outcomes["reward"].moment == pytest.approx(moment)
    assert STATISTICS.outcomes["reward"].energy == pytest.approx(energy)
    assert STATISTICS.weight == pytest.approx(W.sum())
    assert STATISTICS.examples == N


@pytest.mark.parametrize("prior_precision", [0.01, 1.0, 100.0])
def test_mean_and_covariance_equal_brute_force(prior_precision: float) -> None:
    posterior = Posterior.of(STATISTICS, "reward", prior_precision)
    a = X.T @ np.diag(W) @ X + prior_precision * np.eye(D)
    assert posterior.mean == pytest.approx(np.linalg.inv(a) @ X.T @ (W * Y))
    deviations = posterior.deviation_map()
    assert deviations @ deviations.T == pytest.approx(posterior.noise**2 * np.linalg.inv(a))


def test_the_noise_is_the_residual_standard_deviation() -> None:
    posterior = Posterior.of(STATISTICS, "reward", 1e-3)
    residual = W @ (Y - X @ posterior.mean) ** 2
    # The weak prior counts as 20 examples with variance 0.05.
    assert posterior.noise == pytest.approx(np.sqrt((residual + 1.0) / (W.sum() + 20.0)), rel=1e-4)


def test_before_there_is_data_the_belief_is_the_prior() -> None:
    posterior = Posterior.of(Statistics.empty(D), "click", 4.0)
    assert posterior.mean == pytest.approx(np.zeros(D))
    assert posterior.factor == pytest.approx(2.0 * np.eye(D))
    assert posterior.noise == pytest.approx(np.sqrt(0.05))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_and_never_absorbed(bad: float) -> None:
    one, good = np.array([1.0]), np.array([[1.0, 2.0]])
    for x, y, w in ((good * bad, one, one), (good, one * bad, one), (good, one, one * bad)):
        with pytest.raises(InvalidInput, match="finite"):
            Statistics.of(x, {"click": y}, w)
    for x, w, y in ((good[0] * bad, 1.0, 1.0), (good[0], bad, 1.0), (good[0], 1.0, bad)):
        with pytest.raises(InvalidInput, match="finite"):
            Statistics.correction(x, w, {"click": 0.0}, {"click": y})


@pytest.mark.parametrize(
    "corrupt",
    [
        replace(STATISTICS, precision=STATISTICS.precision - 1e4 * np.eye(D)),
        replace(STATISTICS, precision=np.full((D, D), np.nan)),
        replace(STATISTICS, precision=np.full((D, D), np.inf)),
        replace(STATISTICS, outcomes={"reward": Outcome(np.full(D, np.nan), 1.0)}),
        replace(STATISTICS, outcomes={"reward": Outcome(np.zeros(D), np.nan)}),
        replace(STATISTICS, weight=np.nan),
        replace(STATISTICS, weight=-1.0),
    ],
)
def test_sums_that_no_examples_have_are_corrupt(corrupt: Statistics) -> None:
    with pytest.raises(Corrupt):
        Posterior.of(corrupt, "reward", 1.0)


def test_statistics_of_other_dimensions_do_not_add() -> None:
    with pytest.raises(InvalidInput, match="5 to 4 dimensions"):
        Statistics.empty(4) + STATISTICS
