"""What a logistic model serves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit

from omakase.core.choices import Choice
from omakase.core.features import cross
from omakase.core.logistic import LogisticLearner, posterior_of
from omakase.core.logistic_beliefs import LogisticBelief, LogisticScorer
from omakase.core.policies import Thompson
from omakase.core.posterior import Outcome, Posterior, Statistics
from omakase.core.ranking import rank

N, M, P = 40, 2, 3
D = P * (1 + M)
RNG = np.random.default_rng(5)
CONTEXT = RNG.normal(size=M).astype(np.float32)
FACTORS = np.ascontiguousarray(np.hstack([np.ones((N, 1)), RNG.normal(size=(N, P - 1))]), dtype=np.float32)
ITEM_IDS = [f"i{i}" for i in range(N)]
X = cross(np.broadcast_to(CONTEXT, (N, M)), FACTORS)


def posterior(condition: float = 10.0, mean: float = 1.0) -> Posterior:
    """With precisions that far apart, in directions of no coordinate."""
    turn, _ = np.linalg.qr(RNG.normal(size=(D, D)))
    precision = (turn * np.geomspace(1.0, condition, D)) @ turn.T
    return Posterior(RNG.normal(size=D) * mean, np.linalg.cholesky(precision), 1.0)


def scorer(of: Posterior, examples: float = 10.0) -> LogisticScorer:
    return LogisticBelief.of(of, examples).over(ITEM_IDS, FACTORS)


@pytest.mark.parametrize("condition", [10.0, 1e4, 1e8])
def test_scores_in_float32_agree_with_float64_however_unequal_the_precisions(condition):
    """To 1e-4 of a deviation, and 1e-5 of the chance at the mean."""
    of = posterior(condition)
    found = scorer(of)
    assert_allclose(found.mean(CONTEXT), expit(X @ of.mean), rtol=1e-5)
    assert_allclose(found.predicted_click(CONTEXT, np.arange(N)), expit(X @ of.mean), rtol=1e-5)
    covariance = np.linalg.inv(of.factor @ of.factor.T)
    wanted = np.sqrt(np.einsum("nd,de,ne->n", X, covariance, X))
    assert_allclose(found.log_odds.deviation(CONTEXT, np.arange(N)), wanted, rtol=1e-4)


def test_draws_have_the_law_of_the_posterior():
    """Means and deviations of 20,000 draws, seed 1, within 4 standard errors."""
    of, scale, count = posterior(mean=0.5), 0.7, 20_000
    found = scorer(of).draw(CONTEXT, scale, count, np.random.default_rng(1)).astype(np.float64)
    log_odds = np.log(found / (1 - found))
    deviation = scale * np.linalg.norm(X @ of.deviation_map(), axis=1)
    assert found.shape == (count, N)
    assert (np.abs(log_odds.mean(axis=0) - X @ of.mean) < 4 * deviation / np.sqrt(count)).all()
    assert_allclose(log_odds.std(axis=0), deviation, rtol=4 / np.sqrt(2 * count))


def test_the_deviation_is_that_of_draws_to_first_order():
    """Of 20,000 draws at a twentieth of the posterior's deviation, seed 2, to 3 %."""
    of, some = posterior(mean=0.5), np.array([3, 17, 30])
    draws = scorer(of).draw(CONTEXT, 0.05, 20_000, np.random.default_rng(2))
    assert_allclose(0.05 * scorer(of).deviation(CONTEXT, some), draws[:, some].std(axis=0), rtol=0.03)


def test_scores_are_chances_so_that_times_a_value_they_are_worth_something():
    """The dearer item is ranked first although it is clicked less, as long as it brings more."""
    of = Posterior(np.array([-3.0, 0.8, 0, 0, 0, 0, 0, 0, 0]), np.eye(D) * 1e3, 1.0)
    pair = np.array([[1, 1, 0], [1, -1, 0]], dtype=np.float32)
    found = LogisticBelief.of(of, 1.0).over(["a", "b"], pair)
    chances = found.mean(CONTEXT)
    ratio = chances[0] / chances[1]
    rng = np.random.default_rng(0)
    for dearer, first in ((0.9 * ratio, 0), (1.1 * ratio, 1)):
        choice = Choice(np.ones(2, bool), 2, np.array([1.0, dearer], dtype=np.float32))
        ranking = rank(Thompson(0.0), found, CONTEXT, choice, rng)
        assert ranking.indices[0] == first
        assert_allclose(ranking.scores, chances[ranking.indices])
        assert_allclose(ranking.predicted_click, chances[ranking.indices], rtol=1e-6)


def test_contributions_sum_to_the_log_odds():
    of = posterior()
    assert scorer(of).contributions(CONTEXT, 7).sum() == pytest.approx(X[7] @ of.mean, rel=1e-5)


def test_nothing_is_predicted_before_the_first_example():
    learner = LogisticLearner(M, P)
    prior = learner.believe(learner.empty()).over(ITEM_IDS, FACTORS)
    assert prior.predicted_click(CONTEXT, np.arange(2)) is None
    assert_allclose(prior.mean(CONTEXT), 0.5)


def test_scores_far_from_zero_stay_finite_chances():
    of = Posterior(np.full(D, 500.0), np.eye(D), 1.0)
    found = scorer(of).draw(CONTEXT, 1.0, 3, np.random.default_rng(0))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= 1).all()


def test_the_belief_of_a_state_is_its_posterior():
    precision = np.diag(np.arange(1.0, D + 1))
    state = Statistics(precision, {"click": Outcome(np.arange(D) / 10, 3.0)}, 50.0, 50, is_logit=True)
    found = LogisticLearner(M, P, 2.0).believe(state)
    assert_allclose(found.log_odds.mean, posterior_of(state, 2.0).mean, rtol=1e-6)
    assert_allclose(found.log_odds.mean[1:], (np.arange(D) / 10)[1:] / (np.arange(1.0, D + 1) + 2)[1:], rtol=1e-6)
    assert found.over(ITEM_IDS, FACTORS).examples == 50.0
