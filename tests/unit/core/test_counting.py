"""Counting propensities: what stands for p, and that its reciprocal can be weighed by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pytest

from benchmarks.frequencies import Case, cases
from omakase.core.beliefs import Scorer
from omakase.core.choices import Choice, Rules
from omakase.core.counting import count_propensities
from omakase.core.errors import InvalidInput
from omakase.core.features import Factor
from omakase.core.policies import Draws, Policy, Source, Thompson, Uniform
from omakase.core.propensities import Propensities, Stopping
from omakase.core.top import Indices

CONTEXT = np.zeros(0, dtype=np.float32)
CASES = {case.name: case for case in cases(n=20, k=4)}


@dataclass
class Scripted:
    """A policy whose draws are written down: the order of items in each."""

    slates: Sequence[Sequence[int]]
    source: Source = Source.NOTHING
    scale: float = 0.0
    drawn: list[int] = field(default_factory=list)

    def draw(
        self, scorer: Scorer | None, context: Factor, choice: Choice, count: int, rng: np.random.Generator
    ) -> Draws:
        done = sum(self.drawn)
        self.drawn.append(count)
        scores = np.array([[-float(slate.index(i)) for i in range(len(slate))] for slate in self.slates[done:][:count]])
        return Draws(scores[:, np.newaxis].astype(np.float32))

    def propensity(self, scorer: Scorer | None, context: Factor, choice: Choice, indices: Indices) -> None:
        return None


def count(
    policy: Policy, shown: Sequence[int], n: int, stopping: Stopping, seed: int = 1, rules: Rules | None = None
) -> Propensities:
    choice = Choice(np.ones(n, dtype=np.bool_), len(shown), rules=rules or Rules())
    rng = np.random.default_rng(seed)
    return count_propensities(policy, None, CONTEXT, choice, np.array(shown), stopping, rng)


@pytest.mark.parametrize("wanted", [1, 2, 3, 6])
def test_the_reciprocals_of_all_that_can_come_about_average_to_1_over_p_short_of_what_the_cap_hides(wanted):
    draws, p = 6, 0.3
    average = 0.0
    for hits in product([True, False], repeat=draws):
        counted = count(Scripted([[0, 1] if hit else [1, 0] for hit in hits]), [0], 2, Stopping(wanted, draws))
        chance = p ** sum(hits) * (1 - p) ** (draws - sum(hits))
        average += chance / counted.propensity[0]
    assert average == pytest.approx((1 - (1 - p) ** (draws + 1)) / p, rel=1e-12)


def test_haldane_s_estimates_are_unbiased_of_p_and_of_its_reciprocal():
    stopping, n, rounds = Stopping(4, 1000), 5, 1500
    counted = [count(Uniform(), [2], n, stopping, seed=seed) for seed in range(rounds)]
    assert not any(one.is_capped[0] for one in counted)
    draws = np.array([one.draws[0] for one in counted])
    # N has the variance K(1 - p)/p²; within four standard errors.
    assert np.mean(1 / np.array([one.propensity[0] for one in counted])) == pytest.approx(
        n, abs=4 * np.sqrt((1 - 1 / n) * n**2 / 4 / rounds)
    )
    assert np.mean(3 / (draws - 1)) == pytest.approx(1 / n, abs=4 * np.std(3 / (draws - 1)) / np.sqrt(rounds))


def test_each_position_stops_by_its_own_item_alone():
    slates = [[0, 1, 2], [1, 0, 2], [0, 2, 1], [0, 1, 2], [2, 1, 0], [0, 1, 2]]
    both = count(Scripted(slates), [0, 1], 3, Stopping(2, 6))
    assert both.draws.tolist() == [3, 4]
    assert both.propensity.tolist() == [2 / 3, 2 / 4]
    first = count(Scripted(slates), [0], 3, Stopping(2, 6))
    assert (first.draws[0], first.propensity[0]) == (both.draws[0], both.propensity[0])


def test_what_is_rare_is_capped_and_never_divides_by_zero():
    never = count(Scripted([[1, 0]] * 9), [0], 2, Stopping(2, 9))
    assert (never.is_capped[0], never.occurrences[0], never.draws[0], never.propensity[0]) == (True, 0, 9, 0.1)
    once = count(Scripted([[0, 1]] + [[1, 0]] * 8), [0], 2, Stopping(2, 9))
    assert (once.is_capped[0], once.occurrences[0], once.draws[0], once.propensity[0]) == (True, 1, 9, 0.2)


def test_reaching_the_occurrences_with_the_last_draw_is_not_capped():
    counted = count(Scripted([[1, 0]] * 3 + [[0, 1]] * 2), [0], 2, Stopping(2, 5))
    assert (counted.is_capped[0], counted.propensity[0]) == (False, 2 / 5)


def test_draws_no_more_than_it_may_and_ends_when_all_have_turned_up():
    rare = Scripted([[1, 0]] * 500)
    count(rare, [0], 2, Stopping(1, 500))
    assert sum(rare.drawn) == 500
    certain = Scripted([[0, 1]] * 500)
    counted = count(certain, [0], 2, Stopping(3, 500))
    assert (counted.propensity[0], counted.draws[0]) == (1.0, 3)
    assert sum(certain.drawn) < 100


def test_a_pinned_position_is_exact_and_the_others_are_counted():
    counted = count(Uniform(), [3, 0], 5, Stopping(4, 400), rules=Rules(pinned={1: 3}))
    assert counted.is_exact.tolist() == [True, False]
    assert counted.propensity[0] == 1.0
    assert counted.propensity[1] == pytest.approx(1 / 4, abs=0.25)


def test_where_every_position_is_pinned_nothing_is_drawn():
    counted = count(Scripted([]), [1, 0], 3, Stopping(4, 400), rules=Rules(pinned={1: 1, 2: 0}))
    assert counted.propensity.tolist() == [1.0, 1.0]
    assert counted.draws.tolist() == [0, 0]


def test_a_slate_that_is_shorter_than_asked_is_counted_as_it_is():
    choice = Choice(np.array([True, False, True, False]), 3)
    counted = count_propensities(
        Uniform(), None, CONTEXT, choice, np.array([2, 0]), Stopping(50, 1000), np.random.default_rng(1)
    )
    assert counted.propensity.tolist() == pytest.approx([0.5, 0.5], abs=0.2)


def test_one_draw_for_each_slot_is_counted_as_it_is_served():
    """Per slot, two equal items take turns by chance alone: the second slot is then as likely as the first."""
    case = CASES["linear_ts"]
    per_slot = Choice(case.choice.eligible, 2, rules=Rules(is_per_slot=True))
    apart = Case("per slot", Thompson(0.3), case.scorer, case.context, per_slot)
    z = apart.z_scores(slates=200, draws=40_000, stopping=Stopping(4, 256), rng=np.random.default_rng(2))
    assert 0.75 < np.sqrt(np.mean(z**2)) < 1.25


@pytest.mark.parametrize("name", CASES)
def test_what_is_counted_agrees_with_frequencies_of_plainly_sorted_draws(name):
    """RMS of 600 z-scores, seed fixed; `python -m benchmarks propensity-z` compares with a million draws."""
    z = CASES[name].z_scores(slates=150, draws=60_000, stopping=Stopping(4, 256), rng=np.random.default_rng(4))
    assert z.size > 60 or name == "popularity"
    assert not z.size or 0.75 < np.sqrt(np.mean(z**2)) < 1.25


@pytest.mark.parametrize(("occurrences", "draws"), [(0, 5), (6, 5)])
def test_a_stopping_rule_that_cannot_be_met_is_refused(occurrences, draws):
    with pytest.raises(InvalidInput, match="at least"):
        Stopping(occurrences, draws)


@pytest.mark.parametrize(
    ("propensity", "draws", "occurrences", "message"),
    [
        ([0.0], [5], [0], "above 0"),
        ([float("nan")], [5], [0], "above 0"),
        ([1.5], [5], [0], "at most 1"),
        ([0.5], [5], [6], "more often"),
        ([0.5, 0.5], [5], [1], "each with its draws"),
    ],
)
def test_numbers_that_no_count_can_give_are_refused(propensity, draws, occurrences, message):
    with pytest.raises(InvalidInput, match=message):
        Propensities(np.array(propensity), np.array(draws), np.array(occurrences), np.array([False]))
