"""Who falls in which arm: in proportion, independently, and back where they were.

The people are fixed ids and the salts those of the annotated example, so that a chi-square statistic is below its 95 %
quantile for ever or never. A rule that deals evenly passes each test for 19 sets of ids in 20.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2

from omakase.core.allocation import BUCKETS, UNDEALT, Allocation, Schedule, bucket_of
from omakase.core.errors import InvalidInput

PEOPLE = [f"person-{i}" for i in range(1_000_000)]
# Enough to see arms that are a fifth off from independence; hashing is what these tests cost.
SOME = 200_000
HOME, BASKET, VARIANTS, HOLDOUT = "layer\0home", "layer\0basket-bottom", "variants\0home-top", "holdout\0002026"
SHARES = {"steady": 500, "lively": 500, "other": 2000}


@pytest.fixture(scope="module")
def home() -> NDArray[np.intp]:
    """The bucket of each person in one layer. Shapes: (1000000,)."""
    return np.array([bucket_of(HOME, person) for person in PEOPLE])


def dealt(buckets: NDArray[np.intp], shares: dict[str, int], salt: str) -> NDArray[np.intp]:
    """The arm of each person, as an index into the arms and, last, UNDEALT."""
    owners = Allocation.fresh(salt, shares).owners
    return np.array([[*shares, UNDEALT].index(owner) for owner in owners])[buckets]


def chi_square(observed: NDArray[np.intp], expected: NDArray[np.float64]) -> float:
    return float(((observed - expected) ** 2 / expected).sum())


def test_a_million_people_fill_the_buckets_evenly(home) -> None:
    observed = np.bincount(home, minlength=BUCKETS)
    statistic = chi_square(observed, np.full(BUCKETS, len(PEOPLE) / BUCKETS))
    assert chi2.ppf(0.001, BUCKETS - 1) < statistic < chi2.ppf(0.95, BUCKETS - 1)


def test_a_million_people_fall_in_arms_by_their_shares(home) -> None:
    observed = np.bincount(dealt(home, SHARES, HOME))
    expected = np.array([*SHARES.values(), BUCKETS - sum(SHARES.values())]) * (len(PEOPLE) / BUCKETS)
    assert chi_square(observed, expected) < chi2.ppf(0.95, len(SHARES))


@pytest.mark.parametrize("other", [BASKET, VARIANTS, HOLDOUT])
def test_what_a_person_is_in_a_layer_says_nothing_of_other_layers_variants_or_the_holdout(home, other) -> None:
    size = len(SHARES) + 1
    there = np.array([bucket_of(other, person) for person in PEOPLE[:SOME]])
    cells = dealt(home[:SOME], SHARES, HOME) * size + dealt(there, SHARES, other)
    table = np.bincount(cells, minlength=size * size).reshape(size, size)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / SOME
    assert chi_square(table, expected) < chi2.ppf(0.95, (size - 1) ** 2)


def test_an_arm_that_was_switched_off_gets_its_people_back() -> None:
    on = Allocation.fresh("salt", {"a": 300, "b": 300})
    assert on.to({"b": 300}).to({"a": 300, "b": 300}) == on
    assert on.to({}).to({"a": 300, "b": 300}) == on


def test_the_people_of_an_arm_that_ended_are_spread_over_the_arms_that_begin() -> None:
    ended = Allocation.fresh("salt", {"old": 400})
    begun = ended.to({"new": 400, "other": 400})
    heirs = Counter(after for before, after in zip(ended.owners, begun.owners, strict=True) if before == "old")
    assert heirs.total() == 400
    assert abs(heirs["new"] - 200) < 4 * 400**0.5 / 2


def test_a_schedule_changes_at_its_moments_and_tells_what_is_to_come() -> None:
    schedule = Schedule.of(Allocation.fresh("salt", {}), [(10.0, {"a": 5}), (20.0, {"a": 50})])
    assert [schedule.at(now).shares for now in (9.999, 10.0, 19.999, 20.0)] == [{}, {"a": 5}, {"a": 5}, {"a": 50}]
    assert schedule.changes(10.0) == ((20.0, {"a": 50}),)


@pytest.mark.parametrize("shares", [{"a": -1}, {"a": 10_001}, {"a": 6000, "b": 6000}])
def test_refuses_shares_that_nobody_can_have(shares) -> None:
    with pytest.raises(InvalidInput):
        Allocation.fresh("salt", shares)


def test_refuses_what_is_no_allocation_and_no_schedule() -> None:
    one = Allocation.fresh("salt", {})
    with pytest.raises(InvalidInput):
        Allocation("salt", ("a",))
    for allocations, starts in (((one,), (1.0,)), ((one,) * 3, (2.0, 1.0)), ((one,) * 3, (1.0, 1.0))):
        with pytest.raises(InvalidInput):
            Schedule(allocations, starts)
