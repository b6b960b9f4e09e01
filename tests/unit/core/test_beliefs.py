"""Beliefs: what is drawn deviates as the posterior says, however many draws are made at once."""

from __future__ import annotations

import numpy as np
import pytest

from omakase.core.beliefs import LinearBelief, LinearScorer
from omakase.core.errors import Corrupt
from omakase.core.posterior import Statistics

N, P = 8, 3


def scorer(m: int) -> tuple[LinearScorer, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((200, P * (1 + m)))
    click = (rng.random(200) < 0.3).astype(float)
    belief = LinearBelief.of(Statistics.of(x, {"click": click, "reward": click}, np.ones(200)), prior_precision=1.0)
    items = rng.standard_normal((N, P)).astype(np.float32)
    return belief.over([], items), rng.standard_normal(m).astype(np.float32)


@pytest.mark.parametrize("m", [0, 2, 9])
@pytest.mark.parametrize("at_once", [1, 20_000])
def test_draws_have_the_mean_and_the_deviations_of_the_posterior(m, at_once):
    """20,000 draws, seed fixed: a standard deviation is known within half a per cent."""
    linear, context = scorer(m)
    rng, everything = np.random.default_rng(5), np.arange(N)
    scores = np.concatenate([linear.draw(context, 0.3, at_once, rng) for _ in range(20_000 // at_once)])
    deviations = 0.3 * linear.deviation(context, everything)
    assert scores.std(axis=0) / deviations == pytest.approx(np.ones(N), abs=0.025)
    assert (scores.mean(axis=0) - linear.mean(context)) / deviations == pytest.approx(np.zeros(N), abs=0.04)


def test_items_are_drawn_together_alike_one_by_one_and_many_at_once():
    """Correlations of items, which independent draws for each would not have."""
    linear, context = scorer(4)
    rng = np.random.default_rng(5)
    one = np.concatenate([linear.draw(context, 1.0, 1, rng) for _ in range(20_000)])
    many = linear.draw(context, 1.0, 20_000, rng)
    assert np.abs(np.corrcoef(one.T) - np.corrcoef(many.T)).max() < 0.05
    assert np.abs(np.corrcoef(many.T) - np.eye(N)).max() > 0.5


def test_many_draws_of_a_posterior_that_rounding_has_made_flat_are_still_draws_of_it():
    """Then the deviations are as good as of lower rank, and their square root is not to be had."""
    linear, context = scorer(2)
    flat = LinearBelief(
        linear.belief.mean, np.zeros_like(linear.belief.deviations), linear.belief.click_mean, linear.belief.examples
    )
    scores = flat.over([], linear.factors).draw(context, 0.3, 100, np.random.default_rng(5))
    np.testing.assert_allclose(scores, np.tile(linear.mean(context), (100, 1)), rtol=1e-5, atol=1e-6)


def test_what_does_not_fit_float32_is_refused():
    linear, _ = scorer(2)
    belief = linear.belief
    with pytest.raises(Corrupt):
        LinearBelief(belief.mean * np.float32(np.inf), belief.deviations, belief.click_mean, belief.examples)
    huge = Statistics.of(np.eye(2), {"click": np.ones(2), "reward": np.full(2, 1e60)}, np.ones(2))
    with np.errstate(over="ignore"), pytest.raises(Corrupt, match="too large"):
        LinearBelief.of(huge, prior_precision=1.0)
