"""A logistic model: its likelihood, its mode, and what a batch after the other comes to."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import expit, logit

from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.features import cross
from omakase.core.learners import LinearLearner, UnconfiguredLearner
from omakase.core.logistic import LogisticLearner, Objective, posterior_of, prior_of, slope_of
from omakase.core.posterior import Statistics
from omakase.core.refolding import ExampleColumns
from omakase.core.rows import Rows

M, P = 2, 4
D = P * (1 + M)
LEARNER = LogisticLearner(M, P, 1.0)
THETA = np.random.default_rng(0).normal(size=D) * 0.7


def seen(n: int, base: float, seed: int = 1, examination: float | np.ndarray = 1.0, theta=THETA) -> ExampleColumns:
    """New examples at about the base rate: those looked at, clicked as a logistic model would have it."""
    rng = np.random.default_rng(seed)
    contexts = rng.normal(size=(n, M)).astype(np.float32)
    items = np.hstack([np.ones((n, 1)), rng.normal(size=(n, P - 1))]).astype(np.float32)
    eta = cross(contexts, items)[:, 1:] @ theta[1:]
    clicks = (rng.random(n) < examination * expit(eta + _intercept(eta, base))).astype(float)
    items *= np.broadcast_to(np.asarray(examination, dtype=np.float32), n)[:, None]
    return columns(contexts, items, clicks)


def columns(contexts, items, clicks, before=None, at=None) -> ExampleColumns:
    n = len(items)
    before = np.full(n, np.nan) if before is None else before
    return ExampleColumns(
        contexts,
        items,
        np.ones(n),
        np.arange(n, dtype=float) if at is None else at,
        {"click": clicks, "reward": clicks},
        {"click": before, "reward": before},
    )


def part(of: ExampleColumns, some) -> ExampleColumns:
    before = {name: column[some] for name, column in of.before.items()}
    after = {name: column[some] for name, column in of.after.items()}
    return ExampleColumns(of.contexts[some], of.items[some], of.weight[some], of.at[some], after, before)


def learnt(*batches: ExampleColumns, learner: LogisticLearner = LEARNER) -> Statistics:
    state = learner.empty()
    for batch in batches:
        state = learner.absorb(state, learner.refold(batch))
        state.check()
    return state


def distance(found: Statistics, wanted: Statistics) -> float:
    """The largest difference of the means, in posterior deviations."""
    one, other = posterior_of(found, 1.0), posterior_of(wanted, 1.0)
    deviation = np.sqrt((other.deviation_map() ** 2).sum(axis=1))
    return float(np.abs((one.mean - other.mean) / deviation).max())


def _intercept(eta: np.ndarray, base: float) -> float:
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(eta + middle).mean() < base else (low, middle)
    return middle


@pytest.mark.parametrize("e", [1.0, 0.3])
@pytest.mark.parametrize(("count", "change"), [(1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, -1.0), (-1.0, -1.0)])
def test_slope_and_curvature_are_those_of_the_likelihood(e, count, change):
    eta, h = np.linspace(-12, 12, 49), 1e-5
    at = [slope_of(eta + step, np.full(49, e), np.full(49, count), np.full(49, change)) for step in (-h, 0.0, h)]
    assert_allclose(at[1].slope, (at[2].likelihood - at[0].likelihood) / (2 * h), atol=1e-7)
    assert_allclose(at[1].curvature, (at[0].slope - at[2].slope) / (2 * h), atol=1e-7)


@pytest.mark.parametrize("e", [1.0, 0.3])
def test_the_information_is_the_expected_square_of_the_slope(e):
    eta, all_e, one = np.linspace(-12, 12, 49), np.full(49, e), np.ones(49)
    silent, clicked = slope_of(eta, all_e, one, 0.0 * one), slope_of(eta, all_e, one, one)
    chance = e * expit(eta)
    assert_allclose(silent.information, chance * clicked.slope**2 + (1 - chance) * silent.slope**2)
    assert_allclose(silent.likelihood, np.log1p(-chance), atol=1e-9)
    assert_allclose(clicked.likelihood, np.log(chance))


def test_nothing_overflows_far_from_zero():
    eta, e, change = np.array([[-800.0, 1.0, 1.0], [800.0, 1.0, 0.0], [-800.0, 0.5, 1.0], [800.0, 0.5, 0.0]]).T
    found = slope_of(eta, e, np.ones(4), change)
    numbers = found.likelihood, found.slope, found.information, found.curvature
    assert all(np.isfinite(array).all() for array in numbers)


def test_gradient_and_information_are_the_derivatives_of_the_log_posterior():
    rows = seen(200, 0.2).rows()
    objective = Objective(THETA, np.diag(prior_of(D, 1.0)), rows, np.linspace(0.5, 1.5, 200))
    h, theta = 1e-5, THETA / 2
    gradient, information, _ = objective.expansion(theta)
    gradient = gradient - objective.precision @ (theta - THETA)
    steps = h * np.eye(D)
    by_value = [(objective.value(theta + s) - objective.value(theta - s)) / (2 * h) for s in steps]
    assert_allclose(gradient, by_value, rtol=1e-5, atol=1e-5)
    curvature = [(objective.expansion(theta - s)[0] - objective.expansion(theta + s)[0]) / (2 * h) for s in steps]
    assert_allclose(information, curvature, rtol=1e-5, atol=1e-4)


def test_one_batch_has_the_mode_that_a_general_optimiser_finds():
    some = seen(1000, 0.1, examination=np.tile([1.0, 0.4], 500))
    objective = Objective(np.zeros(D), np.diag(prior_of(D, 1.0)), some.rows(), np.ones(1000))
    wanted = minimize(lambda theta: -objective.value(theta), np.zeros(D), method="BFGS", options={"gtol": 1e-6}).x
    assert_allclose(posterior_of(learnt(some), 1.0).mean, wanted, atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_the_mode_is_found_where_more_is_clicked_than_the_examination_allows(seed):
    some = seen(300, 0.4, seed)
    told = replace(some, items=some.items * np.float32(0.3))
    mode = posterior_of(learnt(told), 1.0).mean
    objective = Objective(np.zeros(D), np.diag(prior_of(D, 1.0)), told.rows(), np.ones(300))
    assert_allclose(objective.expansion(mode)[0], objective.precision @ mode, atol=1e-4)


@pytest.mark.parametrize(("batch", "most"), [(50, 1.2), (200, 0.9), (1000, 0.4)])
def test_batch_by_batch_comes_close_to_all_at_once(batch, most):
    """Within so many posterior deviations, at a click rate of 10 %, over 2000 examples."""
    for seed in range(2):
        every = seen(2000, 0.1, seed)
        parts = [part(every, slice(start, start + batch)) for start in range(0, 2000, batch)]
        assert distance(learnt(*parts), learnt(every)) < most


@pytest.mark.parametrize("base", [0.005, 0.02, 0.1, 0.5])
def test_the_base_rate_is_found_without_being_told(base):
    """Within two standard errors of the clicks that came, for the intercept is free; in batches of 500, by default."""
    every = seen(20_000, base, seed=4)
    state = learnt(*(part(every, slice(start, start + 500)) for start in range(0, 20_000, 500)))
    x = cross(every.contexts, every.items)
    clicks = every.after["click"].sum()
    predicted = expit(x @ posterior_of(state, 1.0).mean).sum()
    assert predicted == pytest.approx(clicks, abs=2 * math.sqrt(clicks * (1 - base)))


@pytest.mark.parametrize("clicks", ["none", "all", "separable"])
def test_data_that_a_line_separates_leave_everything_finite(clicks):
    every = seen(3000, 0.1)
    y = {"none": np.zeros(3000), "all": np.ones(3000), "separable": (every.items[:, 1] > 0).astype(float)}[clicks]
    every = columns(every.contexts, every.items, y, at=every.at)
    state = learnt(*(part(every, slice(start, start + 300)) for start in range(0, 3000, 300)))
    posterior = posterior_of(state, 1.0)
    assert np.abs(posterior.mean).max() < 60
    assert np.isfinite(posterior.deviation_map()).all()


def test_a_correction_in_the_same_batch_is_as_if_it_had_been_known():
    some = seen(500, 0.1)
    late = part(some, np.flatnonzero(some.after["click"])[:20])
    early = some.after["click"].copy()
    early[np.flatnonzero(early)[:20]] = 0.0
    first = columns(some.contexts, some.items, early, at=some.at)
    correction = columns(late.contexts, late.items, np.ones(20), np.zeros(20), late.at)
    state = LEARNER.absorb(LEARNER.empty(), LEARNER.refold(first) + LEARNER.refold(correction))
    assert distance(state, learnt(some)) < 1e-5
    assert (state.examples, state.outcomes["click"].energy) == (500, some.after["click"].sum())


def test_a_later_correction_comes_close_to_a_refit():
    """Within half a posterior deviation, where one click in five came late."""
    some = seen(4000, 0.1)
    clicked = np.flatnonzero(some.after["click"])[::5]
    early = some.after["click"].copy()
    early[clicked] = 0.0
    late = part(some, clicked)
    correction = columns(late.contexts, late.items, np.ones(len(clicked)), np.zeros(len(clicked)), late.at)
    without, refit = learnt(columns(some.contexts, some.items, early, at=some.at)), learnt(some)
    state = learnt(columns(some.contexts, some.items, early, at=some.at), correction)
    assert distance(state, refit) < 0.2 * distance(without, refit)
    assert distance(state, refit) < 0.5
    assert state.examples == 4000


def taken_back(of: ExampleColumns) -> ExampleColumns:
    return columns(of.contexts, of.items, np.full(len(of), np.nan), of.after["click"], of.at)


def test_what_is_taken_back_in_the_same_batch_was_never_there():
    some, cheat = seen(500, 0.1), seen(100, 0.9, seed=9)
    batch = LEARNER.refold(some) + LEARNER.refold(cheat) + LEARNER.refold(taken_back(cheat))
    assert distance(LEARNER.absorb(LEARNER.empty(), batch), learnt(some)) < 1e-5


def test_what_is_taken_back_later_leaves_little():
    some, cheat = seen(4000, 0.1), seen(200, 0.9, seed=9)
    with_cheat = learnt(some, cheat)
    without = learnt(some, cheat, taken_back(cheat))
    assert distance(without, learnt(some)) < 0.15 * distance(with_cheat, learnt(some))
    assert without.examples == 4000


def test_taking_everything_back_leaves_a_state_that_can_be_served():
    some = seen(300, 0.05)
    rest = learnt(part(some, slice(0, 150)), part(some, slice(150, 300)), taken_back(some))
    LEARNER.believe(rest)
    assert rest.examples == 0


def test_what_is_taken_back_after_the_rate_has_changed_throws_nothing_away():
    """One hundred items that nobody clicked taught next to nothing; at today's rate they would take more than that."""
    blank = np.zeros((1000, M), dtype=np.float32)
    other, plain = (np.tile(np.array(item, dtype=np.float32), (1000, 1)) for item in ([1, 3, 0, 0], [1, 0, 0, 0]))
    ignored = columns(blank[:100], other[:100], np.zeros(100))
    liked = columns(blank, plain, np.tile([0.0, 1.0], 500))
    state = learnt(ignored, liked, taken_back(ignored))
    LEARNER.believe(state)
    mean = posterior_of(state, 1.0).mean
    assert mean[0] == pytest.approx(0.0, abs=0.2)
    assert np.abs(mean).max() < 3.0
    assert state.examples == 1000


def test_what_is_taken_back_leaves_a_precision_that_real_examples_may_have():
    """Three items that taught little at the rate of then: with today's information less than nothing would be left."""
    blank = np.zeros((1000, M), dtype=np.float32)
    other, plain = (np.tile(np.array(item, dtype=np.float32), (1000, 1)) for item in ([1, 1, 0, 0], [1, 0, 0, 0]))
    ignored = columns(blank[:3], other[:3], np.zeros(3))
    known = learnt(columns(blank, plain, np.zeros(1000)), ignored, columns(blank, plain, np.tile([0.0, 1.0], 500)))
    state = LEARNER.absorb(known, LEARNER.refold(taken_back(ignored)))
    LEARNER.believe(state)
    assert np.linalg.eigvalsh(state.precision).min() > -1e-9


def test_late_clicks_alone_after_a_batch_without_any_leave_the_rate_believable():
    """Three of 500, at first unseen: 0.6 %."""
    some = seen(500, 0.1)
    none = columns(some.contexts, some.items, np.zeros(500), at=some.at)
    late = part(some, slice(0, 3))
    state = learnt(none, columns(late.contexts, late.items, np.ones(3), np.zeros(3), late.at))
    chances = expit(cross(some.contexts, some.items) @ posterior_of(state, 1.0).mean)
    assert 0.002 < np.median(chances) < 0.2


def test_what_stands_where_few_look_is_not_taken_for_disliked():
    """Those in the third slot are looked at by 30 % of people: what is learnt is the chance where it is looked at."""
    examination = np.tile([1.0, 0.6, 0.3], 4_000)
    state = learnt(seen(12_000, 0.1, 5, examination))
    naive = seen(12_000, 0.1, 5, examination)
    naive = columns(naive.contexts, naive.items / naive.items[:, :1], naive.after["click"])
    certain = seen(12_000, 0.1, 6)
    x = cross(certain.contexts, certain.items)
    truth = x[:, 1:] @ THETA[1:] + _intercept(x[:, 1:] @ THETA[1:], 0.1)
    errors = [np.mean(expit(x @ posterior_of(one, 1.0).mean) / expit(truth)) for one in (state, learnt(naive))]
    assert errors[0] == pytest.approx(1.0, abs=0.05)
    assert errors[1] < 0.85


def test_forgetting_shrinks_the_data_and_never_the_prior():
    learner = replace(LEARNER, half_life_s=100.0)
    state = learner.absorb(learner.empty(), learner.refold(seen(2000, 0.3)))
    later = state.aged(state.as_of + 5000.0)
    assert later.weight == pytest.approx(0.0, abs=1e-9)
    posterior = posterior_of(later, 1.0)
    assert_allclose(posterior.mean, 0.0, atol=1e-6)
    assert_allclose(np.diag(posterior.deviation_map()), 1.0 / np.sqrt(prior_of(D, 1.0)), rtol=1e-6)


def test_what_is_old_weighs_half_after_a_half_life():
    learner = replace(LEARNER, half_life_s=100.0)
    some = seen(1000, 0.3)
    old, new = part(some, slice(0, 500)), part(some, slice(500, 1000))
    old, new = replace(old, at=np.zeros(500)), replace(new, at=np.full(500, 100.0))
    halved = replace(old, weight=np.full(500, 0.5))
    plain = LEARNER.absorb(LEARNER.empty(), LEARNER.refold(halved) + LEARNER.refold(new))
    both = learner.absorb(learner.empty(), learner.refold(old) + learner.refold(new))
    assert distance(both, plain) < 1e-6
    assert both.weight == pytest.approx(750.0)
    before = learner.absorb(learner.empty(), learner.refold(old))
    after = learner.absorb(before, learner.refold(new))
    shrunk = replace(before.aged(100.0), half_life_s=math.inf)
    assert distance(after, LEARNER.absorb(shrunk, LEARNER.refold(new))) < 1e-6


def test_sums_of_a_linear_model_are_refused():
    with pytest.raises(InvalidInput, match="linear"):
        LEARNER.absorb(LEARNER.empty(), LinearLearner(M, P).refold(seen(5, 0.5)))


def test_bad_numbers_are_refused_and_never_absorbed():
    some = seen(5, 0.5)
    for column, value in (("contexts", np.nan), ("weight", np.inf), ("weight", -1.0), ("at", np.nan)):
        bad = np.array(getattr(some, column))
        bad[2] = value
        with pytest.raises(InvalidInput):
            LEARNER.refold(replace(some, **{column: bad}))
    for examination in (0.0, -1.0, 1.5):
        with pytest.raises(InvalidInput, match="looked at"):
            LEARNER.refold(replace(some, items=some.items * np.float32(examination)))
    with pytest.raises(InvalidInput, match="click"):
        LEARNER.refold(replace(some, after={"click": np.full(5, 2.0)}))


def test_examples_of_other_dimensions_are_refused():
    with pytest.raises(InvalidInput, match="in 3 dimensions"):
        LEARNER.absorb(Statistics.empty(3), LEARNER.refold(seen(5, 0.5)))


def test_a_state_that_cannot_be_one_is_corrupt():
    state = learnt(seen(50, 0.5))
    with pytest.raises(Corrupt):
        LEARNER.believe(replace(state, precision=-state.precision))
    with pytest.raises(Corrupt):
        LEARNER.absorb(replace(state, precision=state.precision * np.nan), LEARNER.refold(seen(50, 0.5)))
    with pytest.raises(Corrupt, match="never absorbed"):
        LEARNER.believe(LEARNER.refold(seen(50, 0.5)))


@pytest.mark.parametrize("learner", [LogisticLearner(M, P), LinearLearner(M, P)])
def test_what_a_model_that_is_no_longer_configured_still_learns_is_of_its_kind(learner):
    some, more = seen(500, 0.2), seen(300, 0.2, seed=3)
    before = learner.absorb(learner.empty(), learner.refold(some))
    wanted = learner.absorb(before, learner.refold(more))
    unconfigured = UnconfiguredLearner()
    found = unconfigured.absorb(before, unconfigured.refold(more))
    assert_allclose(found.precision, wanted.precision)
    assert_allclose(found.outcomes["click"].moment, wanted.outcomes["click"].moment)
    assert (found.is_logit, found.rows, found.examples) == (wanted.is_logit, None, 800)
    unpublished = unconfigured.absorb(Statistics.empty(D), learner.refold(some))
    assert_allclose(unpublished.precision, before.precision)


def test_batches_added_together_follow_each_other():
    one, other = (LEARNER.refold(seen(n, 0.2, seed=n)) for n in (3, 4))
    rows = (one + other).rows
    assert isinstance(rows, Rows)
    assert_allclose(rows.items, np.vstack([one.rows.items, other.rows.items]))
    assert ((one + other).examples, (one + other).weight) == (7, 7.0)
    assert (one + Statistics.empty(D)).rows is one.rows


def test_the_intercept_is_free_and_all_else_is_not():
    """A pull of less than one click at a rate of one in ten thousand."""
    assert_allclose(prior_of(3, 4.0)[1:], [4.0, 4.0])
    assert prior_of(3, 4.0)[0] * abs(logit(1e-4)) < 1.0
