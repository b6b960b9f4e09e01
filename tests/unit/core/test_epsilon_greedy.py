"""Epsilon-greedy: how often it explores, what it explores, and how likely it was."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import chi2

from omakase.core.beliefs import LinearBelief
from omakase.core.catalogue import Catalogue, Item
from omakase.core.choices import Cap, Choice, Rules
from omakase.core.counts import Counts, CountScorer, Prior
from omakase.core.epsilon_greedy import EpsilonGreedy
from omakase.core.filling import fill_many
from omakase.core.posterior import Statistics
from omakase.core.ranking import rank

N = 6
SEEN = np.array([0.0, 3.0, 99.0, 8.0, 0.0, 15.0])
SCORER = CountScorer.of(
    Counts(tuple("abcdef"), SEEN, np.array([0.0, 2.0, 9.0, 1.0, 0.0, 0.0])),
    Prior(),
    Catalogue([Item(item_id) for item_id in "abcdef"]),
)
GREEDY = np.argsort(-SCORER.rates, kind="stable")
NOTHING = np.empty(0, dtype=np.float32)
EVERYTHING = np.ones(N, dtype=np.bool_)


def brute_force(epsilon: float, k: int, order: list[int], weights: np.ndarray) -> np.ndarray:
    """P(item at position) by adding up every slate there is. Shapes: (k, n)."""
    found = np.zeros((k, N))
    for slate in itertools.permutations(order, k):
        probability, remaining = 1.0, list(order)
        for item in slate:
            explored = epsilon * weights[item] / weights[remaining].sum()
            probability *= explored + (1 - epsilon) * (item == remaining[0])
            remaining.remove(item)
        found[range(k), slate] += probability
    return found


def frequencies(policy: EpsilonGreedy, choice: Choice, count: int = 40_000) -> np.ndarray:
    slates = fill_many(policy.draw(SCORER, NOTHING, choice, count, np.random.default_rng(20261122)), choice)
    return np.array([np.bincount(column[column >= 0], minlength=N) for column in slates.T]) / count


def assert_frequencies(found: np.ndarray, expected: np.ndarray, count: int = 40_000) -> None:
    """Chi-square over the items of each position, seed fixed: a fair policy fails for 1 seed in 10,000."""
    for observed, probabilities in zip(found, expected, strict=True):
        likely = probabilities > 0
        assert observed[~likely].sum() == 0
        statistic = (count * (observed - probabilities)[likely] ** 2 / probabilities[likely]).sum()
        assert statistic < chi2.ppf(1 - 1e-4, likely.sum() - 1)


@pytest.mark.parametrize("tail", [0.0, 0.5, 1.0])
def test_explores_each_slot_by_the_weights_of_what_remains(tail: float) -> None:
    policy = EpsilonGreedy(0.4, tail=tail)
    choice = Choice(EVERYTHING, 3, weights=policy.weights(SEEN))
    expected = brute_force(0.4, 3, GREEDY.tolist(), (1 + SEEN) ** -tail)
    assert_frequencies(frequencies(policy, choice), expected)


@pytest.mark.parametrize("k", [1, 2, 4, 6])
@pytest.mark.parametrize("epsilon", [0.1, 1.0])
@pytest.mark.parametrize("is_worth", [False, True])
def test_propensities_are_exact_where_all_are_explored_alike(k: int, epsilon: float, is_worth: bool) -> None:
    values = np.array([1, 1, 2, 1, 5, 1], dtype=np.float32) if is_worth else None
    order = np.argsort(-SCORER.rates * (1 if values is None else values), kind="stable")
    expected = brute_force(epsilon, k, order.tolist(), np.ones(N))
    choice = Choice(EVERYTHING, k, values)
    for slate in list(itertools.permutations(range(N), k))[::7]:
        found = EpsilonGreedy(epsilon).propensity(SCORER, NOTHING, choice, np.array(slate))
        assert found == pytest.approx(expected[range(k), slate], rel=1e-12)


def test_propensities_count_only_what_may_be_shown_even_where_that_is_little() -> None:
    eligible = np.array([True, False, True, False, True, False])
    choice, policy = Choice(eligible, 5), EpsilonGreedy(0.5)
    order = [i for i in GREEDY.tolist() if eligible[i]]
    expected = brute_force(0.5, 3, order, np.ones(N))
    for seed in range(20):
        ranking = rank(policy, SCORER, NOTHING, choice, np.random.default_rng(seed))
        assert ranking.propensity == pytest.approx(expected[range(3), ranking.indices])
    nobody = rank(policy, SCORER, NOTHING, Choice(~EVERYTHING, 2), np.random.default_rng(3))
    assert nobody.indices.size == 0


def test_a_slate_of_one_has_its_propensity_with_a_tail_too_and_longer_ones_have_to_be_counted() -> None:
    policy = EpsilonGreedy(0.3, tail=1.0)
    weights = policy.weights(SEEN)
    expected = brute_force(0.3, 1, GREEDY.tolist(), 1 / (1 + SEEN))[0]
    for item in range(N):
        found = policy.propensity(SCORER, NOTHING, Choice(EVERYTHING, 1, weights=weights), np.array([item]))
        assert found == pytest.approx(expected[[item]])
    assert policy.propensity(SCORER, NOTHING, Choice(EVERYTHING, 2, weights=weights), np.array([0, 1])) is None


@pytest.mark.parametrize("rules", [Rules(pinned={1: 2}), Rules(caps=(Cap(np.zeros(N, dtype=np.int32), 1),))])
def test_behind_caps_and_pins_propensities_have_to_be_counted(rules: Rules) -> None:
    assert EpsilonGreedy(0.3).propensity(SCORER, NOTHING, Choice(EVERYTHING, 1, rules=rules), np.array([2])) is None


def test_what_is_explored_is_drawn_whatever_it_is_worth() -> None:
    values = np.array([0, 1, 100, 1, -5, 1], dtype=np.float32)
    assert_frequencies(frequencies(EpsilonGreedy(1.0), Choice(EVERYTHING, 1, values)), np.full((1, N), 1 / N))


def test_epsilon_halves_with_every_so_many_examples_down_to_its_least() -> None:
    policy = EpsilonGreedy(0.4, decay_examples=100.0, min_epsilon=0.03)
    assert [policy.rate(examples) for examples in (0, 100, 200, 1000)] == pytest.approx([0.4, 0.2, 0.1, 0.03])
    assert EpsilonGreedy(0.4).rate(1e9) == 0.4
    decaying = EpsilonGreedy(0.4, decay_examples=SCORER.examples)
    expected = brute_force(0.2, 2, GREEDY.tolist(), np.ones(N))
    assert_frequencies(frequencies(decaying, Choice(EVERYTHING, 2)), expected)


def test_without_epsilon_it_shows_the_best_and_says_that_it_was_certain() -> None:
    ranking = rank(EpsilonGreedy(0.0), SCORER, NOTHING, Choice(EVERYTHING, 3), np.random.default_rng(3))
    assert ranking.indices.tolist() == GREEDY[:3].tolist()
    assert ranking.propensity == pytest.approx(np.ones(3))


def test_ranks_by_a_model_s_mean_and_predicts_clicks_of_what_it_explores_too() -> None:
    rng = np.random.default_rng(11)
    x = rng.standard_normal((400, 2))
    statistics = Statistics.of(x, {name: (x[:, 0] > 0).astype(float) for name in ("click", "reward")}, np.ones(400))
    model = LinearBelief.of(statistics, prior_precision=1.0).over([], rng.standard_normal((N, 2)).astype(np.float32))
    ranking = rank(EpsilonGreedy(0.5), model, NOTHING, Choice(EVERYTHING, N), np.random.default_rng(8))
    greedy = rank(EpsilonGreedy(0.0), model, NOTHING, Choice(EVERYTHING, N), np.random.default_rng(8))
    assert greedy.indices.tolist() == np.argsort(-model.mean(NOTHING)).tolist()
    assert sorted(ranking.indices.tolist()) == list(range(N))
    assert ranking.predicted_click == pytest.approx(model.predicted_click(NOTHING, ranking.indices))


def test_without_a_scorer_it_says_so() -> None:
    with pytest.raises(ValueError, match="ranks by"):
        rank(EpsilonGreedy(), None, NOTHING, Choice(EVERYTHING, 1), np.random.default_rng(5))
