"""Scores in float32 agree with the posterior in float64, also where that is ill-conditioned."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from omakase.core.features import cross
from omakase.core.item_posteriors import ItemPosteriors
from omakase.core.item_statistics import ItemStatistics
from omakase.core.learners import LinearLearner
from omakase.core.posterior import Outcome, Posterior, Statistics

Q = 8
CONDITIONS = (1e2, 1e5, 1e6, 1e7, 1e8)


def precision_of(condition: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of eigenvalues from 1 to `condition`, the prior's 1 among them, and its eigenvectors."""
    vectors, _ = np.linalg.qr(rng.normal(size=(Q, Q)))
    return (vectors * np.geomspace(1.0, condition, Q)) @ vectors.T, vectors


@pytest.mark.parametrize("condition", CONDITIONS)
def test_deviations_of_items_agree_along_every_direction(condition):
    rng = np.random.default_rng(1)
    precision, vectors = precision_of(condition, rng)
    a = precision - np.eye(Q)
    items = ItemStatistics(
        ("a", "b"), np.stack([a[np.tril_indices(Q)], np.zeros(Q * (Q + 1) // 2)]), {}, np.ones(2), np.ones(2)
    )
    variances = ItemPosteriors.of(items, 1.0).variances(np.array([0, 1]))
    covariance = np.linalg.inv(precision)
    # Random directions first; then the eigenvectors, in which the smallest deviation is what rounding loses first.
    for z in (*rng.normal(size=(20, Q)), *vectors.T):
        found = np.sqrt(variances.along(z.astype(np.float32)).astype(float))
        wanted = np.sqrt([z @ covariance @ z, z @ z])
        np.testing.assert_allclose(found, wanted, rtol=3e-3)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_means_and_deviations_of_a_shared_model_agree(condition):
    rng = np.random.default_rng(2)
    precision, _ = precision_of(condition, rng)
    truth = rng.normal(size=Q) * 0.01
    sums = Outcome((precision - np.eye(Q)) @ truth, 1e3)
    state = Statistics(precision - np.eye(Q), {"reward": sums, "click": sums}, 1e4, 10_000)
    factors = rng.normal(size=(50, 2)).astype(np.float32)
    scorer = LinearLearner(3, 2).believe(state).over([], factors)
    context = rng.normal(size=3).astype(np.float32)
    learner = LinearLearner(3, 2)
    posterior = Posterior.of(state, "reward", learner.prior)
    x = cross(np.broadcast_to(context, (50, 3)), factors)
    scale = np.abs(x) @ np.abs(posterior.mean)
    assert (np.abs(scorer.mean(context) - x @ posterior.mean) <= 1e-6 * scale).all()
    deviations = np.linalg.norm(x @ posterior.deviation_map(), axis=1)
    np.testing.assert_allclose(scorer.deviation(context, np.arange(50)), deviations, rtol=3e-3)
