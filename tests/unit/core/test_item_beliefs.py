"""What a per-item model believes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from omakase.core.choices import Choice
from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.features import cross
from omakase.core.item_beliefs import ItemScorer, precision_of_items
from omakase.core.item_learner import PerItemLearner
from omakase.core.item_posteriors import ItemPosteriors
from omakase.core.item_statistics import ItemStatistics
from omakase.core.learners import LinearLearner, UnconfiguredLearner
from omakase.core.posterior import Posterior, Statistics
from omakase.core.refolding import ExampleColumns
from omakase.core.top import best
from tests.items import CONTEXT, FACTORS, ITEM_IDS, LEARNER, M, N, P, Q, of_item, seen

EXAMPLES = seen(400)
STATE = LEARNER.refold(EXAMPLES)
Z = np.concatenate([[1.0], CONTEXT])
EVERY = np.arange(N)


def scorer(state: Statistics = STATE, learner: PerItemLearner = LEARNER) -> ItemScorer:
    return learner.believe(state).over(ITEM_IDS, FACTORS)


def test_precision_times_covariance_is_the_identity():
    posteriors = LEARNER.believe(STATE).items
    for place, item_id in enumerate(posteriors.items.item_ids):
        covariance = np.zeros((Q, Q))
        covariance[np.tril_indices(Q)] = posteriors.covariance[place]
        covariance += np.tril(covariance, -1).T
        precision = of_item(EXAMPLES, item_id)[1] + 3.0 * np.eye(Q)
        assert_allclose(precision @ covariance, np.eye(Q), atol=1e-9)


@pytest.mark.parametrize("looked_at", [1.0, 0.4])
def test_an_item_s_mean_is_what_its_own_examples_make_of_the_shared_one(looked_at):
    examples = seen(400, looked_at=looked_at)
    state = LEARNER.refold(examples)
    means = scorer(state).mean(CONTEXT)
    shared = Posterior.of(state, "reward", 1.0).mean.reshape(Q, P)
    for place, item_id in enumerate(ITEM_IDS):
        z, precision, rows = of_item(examples, item_id)
        right = 3.0 * shared @ FACTORS[place] + z.T @ (rows.weight * rows.after["reward"])
        assert_allclose(means[place], Z @ np.linalg.solve(precision + 3.0 * np.eye(Q), right), rtol=1e-5)


def test_a_catalogue_without_items_has_no_scores():
    nothing = LEARNER.believe(STATE).over([], FACTORS[:0])
    assert nothing.draw(CONTEXT, 1.0, 2, np.random.default_rng(1)).shape == (2, 0)
    assert nothing.deviation(CONTEXT, EVERY[:0]).size == 0


def test_a_new_item_is_scored_as_the_prior_says_however_much_is_known_of_others():
    found = scorer()
    shared = Posterior.of(STATE, "reward", 1.0)
    x = cross(CONTEXT, FACTORS[-1])
    own = found.noise**2 * (Z @ Z) / 3.0
    variance = own + float(np.sum((x @ shared.deviation_map()) ** 2))
    draws = found.draw(CONTEXT, 1.0, 40_000, np.random.default_rng(1))[:, -1].astype(float)
    assert_allclose(found.mean(CONTEXT)[-1], x @ shared.mean, rtol=1e-5)
    # 40,000 draws: a mean is within 4/200 of a deviation, a deviation within 4/√80,000 of itself.
    assert abs(draws.mean() - x @ shared.mean) < 0.02 * math.sqrt(variance)
    assert draws.std() == pytest.approx(math.sqrt(variance), rel=0.015)


def test_draws_vary_as_the_deviations_say_and_scale_with_exploration():
    found = scorer()
    for scale in (1.0, 0.3):
        draws = found.draw(CONTEXT, scale, 40_000, np.random.default_rng(2)).astype(float)
        assert_allclose(draws.std(axis=0), scale * found.deviation(CONTEXT, EVERY), rtol=0.015)
    assert_allclose(found.draw(CONTEXT, 0.0, 2, np.random.default_rng(3)), [found.mean(CONTEXT)] * 2, rtol=1e-5)


@pytest.mark.parametrize("known", [40, 300])
@pytest.mark.parametrize("q", [33, 64])
def test_looking_only_at_what_may_be_among_the_best_finds_the_same_best(known, q):
    rng = np.random.default_rng(q)
    learner, n = PerItemLearner(q - 1, P, item_prior_precision=50.0), 300
    ids = [f"i{place:03}" for place in range(n)]
    factors = rng.normal(size=(n, P)).astype(np.float32)
    which = rng.integers(0, known, 3000)
    contexts = rng.normal(size=(3000, q - 1)).astype(np.float32) * np.linspace(0.2, 2, q - 1, dtype=np.float32)
    clicks, nothing = rng.integers(0, 2, 3000).astype(float), np.full(3000, np.nan)
    learnt = {"click": clicks, "reward": clicks}, dict.fromkeys(("click", "reward"), nothing)
    ones = np.ones(3000)
    columns = ExampleColumns(contexts, factors[which], ones, ones, *learnt, [ids[i] for i in which])
    found = learner.believe(learner.refold(columns)).over(ids, factors)
    looked_at = 0
    for seed in range(30):
        choice = Choice(rng.random(n) < rng.choice([0.02, 0.9]), 7)
        context = rng.normal(size=q - 1).astype(np.float32)
        whole, few = (found.draw(context, 0.7, 1, np.random.default_rng(seed), one)[0] for one in (None, choice))
        top = best(whole, choice.eligible, 7)
        assert best(few, choice.eligible, 7).tolist() == top.tolist()
        assert_allclose(few[top], whole[top], rtol=1e-4)
        looked_at += int(np.isfinite(few).sum())
    assert looked_at < 0.7 * 30 * n


def test_bounds_hold_whatever_the_context():
    rng = np.random.default_rng(8)
    posteriors = LEARNER.believe(STATE).items
    variances = posteriors.variances(np.arange(5))
    for z in rng.normal(size=(50, Q)).astype(np.float32):
        found = variances.along(z) / (z @ z)
        assert (variances.least <= found).all()
        assert (found <= variances.most).all()


def test_a_well_known_item_is_sure_of_itself_and_heeds_the_shared_model_no_more():
    much = scorer(LEARNER.refold(seen(40_000, items=2)))
    deviations = much.deviation(CONTEXT, EVERY)
    assert deviations[0] < 0.1 * deviations[-1]
    fresh = PerItemLearner(M, P, item_prior_precision=1e9).believe(STATE).over(ITEM_IDS, FACTORS)
    shared = LEARNER.believe(STATE).shared.over(ITEM_IDS, FACTORS)
    assert_allclose(fresh.mean(CONTEXT), shared.mean(CONTEXT), rtol=1e-4)
    assert_allclose(fresh.deviation(CONTEXT, EVERY), shared.deviation(CONTEXT, EVERY), rtol=1e-3)


def test_new_items_that_are_alike_are_drawn_alike_where_the_features_are_unsure():
    little = scorer(LEARNER.refold(seen(3, items=1)))
    certain = PerItemLearner(M, P, item_prior_precision=1e9).believe(little_state()).over(["x", "y"], FACTORS[[4, 4]])
    draws = certain.draw(CONTEXT, 1.0, 1000, np.random.default_rng(4))
    assert np.corrcoef(draws.T)[0, 1] > 0.999
    assert np.corrcoef(little.draw(CONTEXT, 1.0, 1000, np.random.default_rng(4))[:, -2:].T)[0, 1] < 0.999


def little_state() -> Statistics:
    return LEARNER.refold(seen(3, items=1))


def test_items_are_found_by_id_wherever_the_catalogue_has_them_and_removed_ones_are_left_out():
    whole, turned = scorer(), LEARNER.believe(STATE).over(ITEM_IDS[::-1], FACTORS[::-1].copy())
    assert_allclose(turned.mean(CONTEXT), whole.mean(CONTEXT)[::-1], rtol=1e-5)
    assert_allclose(turned.deviation(CONTEXT, EVERY), whole.deviation(CONTEXT, EVERY)[::-1], rtol=1e-5)
    few = LEARNER.believe(STATE).over(ITEM_IDS[2:4], FACTORS[2:4])
    assert_allclose(few.mean(CONTEXT), whole.mean(CONTEXT)[2:4], rtol=1e-5)
    assert few.variances.doubled.shape == (2, Q * (Q + 1) // 2)
    nothing = LEARNER.believe(LEARNER.empty()).over(ITEM_IDS, FACTORS)
    assert_allclose(nothing.mean(CONTEXT), 0.0)
    assert nothing.predicted_click(CONTEXT, EVERY).tolist() == [0.0] * N


def test_contributions_sum_to_the_mean_the_item_s_own_last():
    found = scorer()
    for place in (0, N - 1):
        contributions = found.contributions(CONTEXT, place)
        assert contributions.shape == (P * Q + Q,)
        assert contributions.sum() == pytest.approx(float(found.mean(CONTEXT)[place]), abs=1e-6)
    assert not found.contributions(CONTEXT, N - 1)[P * Q :].any()
    assert found.contributions(CONTEXT, 0)[P * Q :].any()


def test_clicks_are_predicted_by_the_item_s_own_click_weights():
    found = scorer()
    predicted = found.predicted_click(CONTEXT, EVERY)
    shared = Posterior.of(STATE, "click", 1.0).mean.reshape(Q, P)
    z, precision, rows = of_item(EXAMPLES, "i2")
    right = 3.0 * shared @ FACTORS[2] + z.T @ (rows.weight * rows.after["click"])
    expected = Z @ np.linalg.solve(precision + 3.0 * np.eye(Q), right)
    assert predicted[2] == pytest.approx(np.clip(expected, 0.0, 1.0), rel=1e-5)


def test_noise_is_what_is_left_about_the_items_own_means():
    rng = np.random.default_rng(5)
    examples = seen(5000, seed=5)
    worth = dict(zip(ITEM_IDS, (9.0, -4.0, 7.0, -8.0, 2.0, 0.0), strict=True))
    reward = np.array([worth[one] for one in examples.item_ids]) + rng.normal(size=5000) * 0.1
    state = LEARNER.refold(replace(examples, after={**examples.after, "reward": reward}))
    # Twenty examples of the shared noise are what it starts from.
    assert 0.1 < scorer(state, replace(LEARNER, item_prior_precision=1e-3)).noise < 0.4
    assert LEARNER.believe(state).noise > 2.0
    given = replace(LEARNER, noise=1.5)
    assert scorer(state, given).noise == 1.5


@pytest.mark.parametrize("half_life_s", [math.inf, 3e4])
def test_a_belief_made_from_the_ones_before_is_within_a_per_cent_however_many_they_were(half_life_s):
    learner = PerItemLearner(M, P, half_life_s=half_life_s, item_prior_precision=1000.0)
    state = learner.refold(seen(400, items=N - 1))
    belief, factored = learner.believe(state), 0
    for batch in range(30):
        state = learner.absorb(state, learner.refold(seen(4, seed=batch, items=N - (batch < 10), at=100.0 + batch)))
        last, belief = belief, learner.believe(state, belief)
        factored += sum(row not in last.items.covariance for row in belief.items.covariance)
        exact = learner.believe(state)
        found, wanted = belief.over(ITEM_IDS, FACTORS), exact.over(ITEM_IDS, FACTORS)
        deviations = wanted.deviation(CONTEXT, EVERY)
        assert_allclose(found.deviation(CONTEXT, EVERY), deviations, rtol=0.01)
        assert (np.abs(found.mean(CONTEXT) - wanted.mean(CONTEXT)) <= 0.01 * deviations).all()
        assert (belief.items.drifts <= 10.0).all()
    assert 0 < factored < 120


def test_what_has_not_changed_is_not_factored_again():
    before = LEARNER.believe(STATE)
    grown = LEARNER.absorb(STATE, LEARNER.refold(seen(1, seed=9, items=1)))
    poisoned = replace(before.items, covariance=np.full_like(before.items.covariance, 7.0))
    after = ItemPosteriors.of(grown.items, 3.0, poisoned)
    assert (after.covariance == 7.0).all(axis=1).tolist() == [False, True, True, True, True]
    other_prior = ItemPosteriors.of(grown.items, 4.0, poisoned)
    assert not (other_prior.covariance == 7.0).any()


def test_the_prior_of_items_follows_the_base_rate_and_the_contexts():
    def of(rate: float, features: int) -> float:
        n, ones = 9000, np.ones(9000)
        clicks = np.arange(n) < round(n * rate)
        items = ItemStatistics.of(["a"] * n, np.ones((n, features)), ones, {}, ones)
        state = replace(Statistics.of(np.ones((n, 1)), {"reward": clicks * 1.0}, ones), items=items)
        return precision_of_items(state, math.sqrt(rate * (1 - rate)))

    assert of(0.02, 1) == 2048.0
    assert of(0.02, 8) == 8 * 2048.0
    assert of(0.08, 1) == 512.0
    assert of(0.001, 1) == 32_768.0
    assert LEARNER.believe(STATE).items.prior_precision == 3.0


def test_forgetting_shrinks_the_data_and_keeps_the_prior():
    learner = replace(LEARNER, half_life_s=10.0)
    aged = learner.refold(EXAMPLES).aged(100.0 + 39 * 10.0)
    later = learner.absorb(aged, learner.refold(seen(1, at=100.0 + 39 * 10.0, items=1)))
    assert later.items.item_ids == ITEM_IDS[:5]
    old = scorer(later, learner)
    assert_allclose(old.variances.along(Z.astype(np.float32))[1:], Z @ Z / 3.0, rtol=1e-5)


def test_items_of_which_nothing_is_left_are_dropped_and_no_others():
    learner = replace(LEARNER, half_life_s=10.0)
    state = learner.refold(EXAMPLES)
    newer = learner.refold(seen(1, at=100.0 + 41 * 10.0, items=1))
    assert learner.absorb(state, newer).items.item_ids == ("i0",)
    tiny = replace(EXAMPLES, weight=EXAMPLES.weight * 1e-9)
    kept = learner.absorb(learner.refold(tiny), learner.refold(seen(1, at=105.0, items=1)))
    assert kept.items.item_ids == ITEM_IDS[:5]
    assert LEARNER.absorb(STATE, LEARNER.refold(seen(1, at=1e9, items=1))).items.item_ids == ITEM_IDS[:5]


def test_what_comes_while_the_model_is_not_configured_is_learnt_by_item_too():
    more, unconfigured = seen(50, seed=3), UnconfiguredLearner()
    batch, wanted = unconfigured.refold(more), LEARNER.absorb(STATE, LEARNER.refold(more))
    unpublished = unconfigured.absorb(Statistics.empty(P * Q), STATE)
    for found in (
        unconfigured.absorb(STATE, batch),
        unconfigured.absorb(unpublished, batch),
        LEARNER.absorb(STATE, batch),
    ):
        assert_allclose(found.items.precision, wanted.items.precision)
        LEARNER.believe(found)
    linear = LinearLearner(M, P)
    for learner in (unconfigured, linear):
        assert not learner.absorb(linear.refold(EXAMPLES), batch).items.item_ids


def test_sums_that_no_examples_have_are_refused():
    def spoilt(**changes: object) -> Statistics:
        return replace(STATE, items=replace(STATE.items, **changes))

    precision = STATE.items.precision.copy()
    precision[2, 0] = np.nan
    with pytest.raises(Corrupt, match="finite"):
        LEARNER.believe(spoilt(precision=precision))
    with pytest.raises(Corrupt, match="less than nothing"):
        LEARNER.believe(spoilt(precision=-STATE.items.precision))
    precision = STATE.items.precision.copy()
    precision[3, 1] = 1e6
    with pytest.raises(Corrupt, match="'i3' is not positive definite"):
        LEARNER.believe(spoilt(precision=precision))
    with pytest.raises(Corrupt, match="where 4 belong"):
        LEARNER.believe(replace(STATE, items=PerItemLearner(M - 1, P).refold(narrower()).items))


def narrower() -> object:
    return replace(EXAMPLES, contexts=EXAMPLES.contexts[:, 1:])


def test_bad_input_is_refused_by_name():
    with pytest.raises(InvalidInput, match="name their items"):
        LEARNER.refold(replace(EXAMPLES, item_ids=()))
    one = np.ones(1)
    with pytest.raises(InvalidInput, match="not finite"):
        ItemStatistics.of(["a"], one[:, None] * np.nan, one, {"click": (one, one)}, one)
    with pytest.raises(InvalidInput, match="3 to 4 dimensions"):
        STATE.items + PerItemLearner(M - 1, P).refold(narrower()).items
    with pytest.raises(InvalidInput, match="do not fit"):
        LEARNER.believe(STATE).over(ITEM_IDS, np.ones((N, 3), np.float32))
