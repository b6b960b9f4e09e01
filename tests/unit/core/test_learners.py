"""Learners: what a linear model believes before it has seen much."""

from __future__ import annotations

import numpy as np

from omakase.core.learners import LinearLearner
from omakase.core.posterior import Statistics


def test_what_a_context_adds_to_every_item_alike_is_held_a_hundred_times_tighter():
    p, m = 2, 2
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, p * (1 + m)))
    y = rng.normal(size=50)
    sums = Statistics.of(x, {"reward": y, "click": y}, np.ones(50))
    # The item's own two coordinates first, then for each context what it adds to all, and to the item's feature.
    prior = np.diag([2.0, 2.0, 200.0, 2.0, 200.0, 2.0])
    expected = np.linalg.solve(x.T @ x + prior, x.T @ y)
    belief = LinearLearner(m, p, prior_precision=2.0).believe(sums)
    np.testing.assert_allclose(belief.mean, expected, rtol=1e-5, atol=1e-6)
