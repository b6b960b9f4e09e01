"""Explanations: they add up, and say what the draw has changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omakase.core.beliefs import LinearBelief
from omakase.core.choices import Choice, Rules
from omakase.core.coordinates import coordinates
from omakase.core.explanation import explain
from omakase.core.features import Categorical, FeatureSpec, Numeric, cross
from omakase.core.policies import Thompson, Uniform
from omakase.core.posterior import Statistics
from omakase.core.ranking import rank

SPEC = FeatureSpec((Categorical("colour", ("red", "blue")), Numeric("price")), (Categorical("device", ("ios", "web")),))
NAMES = coordinates(SPEC)
N = 20
ITEMS = np.stack([SPEC.encode_item({"colour": "red" if i % 2 else "blue", "price": i / 10}) for i in range(N)])
CONTEXT = SPEC.encode_context({"device": "ios"})
EVERYTHING = np.ones(N, dtype=np.bool_)


def scorer():
    """Has learnt that people on ios click what is red."""
    rng = np.random.default_rng(1)
    x = cross(np.repeat(CONTEXT[None], 400, axis=0), ITEMS[rng.integers(N, size=400)])
    click = (rng.random(400) < 0.1 + 0.4 * x[:, NAMES.index("device=ios × colour=red")]).astype(float)
    return LinearBelief.of(Statistics.of(x, {"click": click, "reward": click}, np.ones(400)), 1.0).over([], ITEMS)


SCORER = scorer()


POLICY, CHOICE = Thompson(0.5), Choice(EVERYTHING, 4)


def explained(policy=POLICY, choice=CHOICE, made_by=SCORER, seed=3):
    ranking = rank(policy, made_by, CONTEXT, choice, np.random.default_rng(seed))
    return ranking, explain(made_by, policy.scale, NAMES, CONTEXT, choice, ranking)


def test_all_contributions_sum_to_the_mean_and_the_largest_are_told():
    ranking, explanations = explained()
    for i, explanation in zip(ranking.indices, explanations, strict=True):
        whole = SCORER.contributions(CONTEXT, int(i))
        assert explanation.mean == pytest.approx(whole.sum(), abs=1e-5)
        told = {one.feature: one.value for one in explanation.contributions}
        assert sorted(map(abs, told.values()), reverse=True) == pytest.approx(np.sort(np.abs(whole))[::-1][: len(told)])
        assert all(value == pytest.approx(whole[NAMES.index(name)]) for name, value in told.items())
        # One coordinate of red, one of red on ios: people on ios are all there is, so they share the effect.
        assert {"colour=red", "device=ios × colour=red"} <= told.keys()


def test_mean_and_deviation_are_those_of_many_draws():
    ranking, explanations = explained()
    draws = SCORER.draw(CONTEXT, 0.5, 20_000, np.random.default_rng(4))[:, ranking.indices]
    means = np.array([one.mean for one in explanations])
    deviations = np.array([one.deviation for one in explanations])
    # Standard errors of 20,000 draws: 0.7 % of a deviation for a mean, 0.5 % for a deviation; five of them allowed.
    assert np.abs(draws.mean(axis=0) - means).max() < 5 * 0.0071 * deviations.max()
    assert draws.std(axis=0) == pytest.approx(deviations, rel=0.025)
    assert [one.draw for one in explanations] == ranking.scores.tolist()


def test_the_place_by_mean_is_the_rank_without_a_draw():
    still = rank(Thompson(0.0), SCORER, CONTEXT, Choice(EVERYTHING, N), np.random.default_rng(1)).indices.tolist()
    ranking, explanations = explained(Thompson(30.0), seed=4)
    worth = SCORER.mean(CONTEXT)
    places = [1 + sum(worth[other] > worth[i] for other in still) for i in ranking.indices]
    assert [one.place_by_mean for one in explanations] == places
    moved = next(j for j, place in enumerate(places) if place > j + 1)
    assert (
        explanations[moved].reason == f"its mean puts it at {places[moved]} of {N}; the draw raises it to {moved + 1}"
    )


def test_under_an_objective_of_value_the_place_is_that_of_mean_times_value():
    values = np.ones(N, dtype=np.float32)
    values[7] = 1000.0
    ranking, explanations = explained(Thompson(0.0), Choice(EVERYTHING, 3, values=values))
    assert ranking.indices[0] == 7
    assert explanations[0].place_by_mean == 1


def test_what_is_pinned_says_so():
    choice = replace(Choice(EVERYTHING, 3), rules=Rules(pinned={2: 5}))
    ranking = rank(Thompson(0.1), SCORER, CONTEXT, Choice(EVERYTHING, 3), np.random.default_rng(3))
    pinned = replace(ranking, indices=np.array([ranking.indices[0], 5, ranking.indices[1]]))
    assert explain(SCORER, 0.1, NAMES, CONTEXT, choice, pinned)[1].reason == "pinned to position 2"


def test_a_policy_without_a_model_has_nothing_but_its_draw():
    ranking, explanations = explained(Uniform(), made_by=None)
    assert [one.draw for one in explanations] == ranking.scores.tolist()
    assert all(one.mean is one.deviation is one.place_by_mean is None and not one.contributions for one in explanations)


def test_of_an_empty_slate_there_is_nothing_to_explain():
    ranking, explanations = explained(choice=Choice(~EVERYTHING, 4))
    assert ranking.indices.size == 0
    assert explanations == []
