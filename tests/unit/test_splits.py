"""Who sees what at a placement: holdout, then experiments, then the placement's own variants; and why."""

from __future__ import annotations

from collections import Counter

import pytest

from omakase.allocations import Allocations, settled
from omakase.config import Product, parse_product
from omakase.core.splits import Assignment, Split, Target
from omakase.core.values import Facts
from omakase.splits import split_of

JP: Facts = {"country": "JP"}
CONFIG = """\
placements:
  home:
    layer: shop
    holdout: calm
    variants: {plain: {share: 6000, policy: chance}, calm: {share: 4000, policy: chance}}
    shadows: {ghost: {share: 1000, policy: chance}, rare: {share: 100, policy: chance}}
  basket:
    layer: shop
    variants: {still: {share: 10000, policy: chance}}
experiments:
  ranker:
    placements: [home]
    target: {country: [JP, KR]}
    ramp: [{at: 2026-12-01T00:00:00Z, share: 5000}, {at: 2026-12-02T00:00:00Z, share: 10000}]
    variants: {old: {share: 3000, policy: chance}, new: {share: 3000, policy: chance}}
  basketry:
    placements: [basket]
    variants: {other: {share: 4000, policy: chance}}
holdout: {share: 1000}
policies: {chance: {type: uniform}}
"""
BEFORE, HALF, FULL = 1796083199.0, 1796083200.0, 1796169600.0
PEOPLE = [f"person-{i}" for i in range(5000)]


@pytest.fixture(scope="module")
def product() -> Product:
    return parse_product(CONFIG)


@pytest.fixture(scope="module")
def splits(product: Product) -> dict[str, Split]:
    own = settled(Allocations(), product, BEFORE)
    return {name: split_of(product, name, own) for name in product.placements}


def dealt(split: Split, now: float, context: Facts = JP) -> dict[str, Assignment]:
    return {person: split.assign(person, context, now) for person in PEOPLE}


def test_everybody_is_where_the_configuration_says_in_its_shares(splits) -> None:
    counts = Counter(dealt(splits["home"], FULL).values())
    # Of the tenth that is held out nobody is anywhere else; of the rest 60 % are in the experiment.
    expected = {
        Assignment("calm", "", "holdout"): 0.1,
        Assignment("old", "ranker", "experiment"): 0.9 * 0.3,
        Assignment("new", "ranker", "experiment"): 0.9 * 0.3,
        Assignment("plain", "", "share"): 0.9 * 0.4 * 0.6,
        Assignment("calm", "", "share"): 0.9 * 0.4 * 0.4,
    }
    assert counts.keys() == expected.keys()
    for assignment, share in expected.items():
        # Four standard deviations of a binomial count; the people are fixed, so this holds for ever or never.
        assert abs(counts[assignment] - len(PEOPLE) * share) < 4 * (len(PEOPLE) * share * (1 - share)) ** 0.5


def test_who_is_held_out_is_in_no_experiment_anywhere(splits) -> None:
    held = [{p for p, a in dealt(split, FULL).items() if a.assigned_by == "holdout"} for split in splits.values()]
    assert held[0] == held[1]
    assert len(held[0]) > 0


def test_experiments_of_one_layer_exclude_each_other(splits) -> None:
    home, basket = ({p for p, a in dealt(split, FULL).items() if a.experiment} for split in splits.values())
    assert home.isdisjoint(basket)
    assert home | basket == {p for p, a in dealt(splits["basket"], FULL).items() if a.assigned_by != "holdout"}


def test_whose_context_is_no_target_sees_the_placements_own_variants(splits) -> None:
    met, elsewhere, nowhere = (dealt(splits["home"], FULL, c) for c in (JP, {"country": "DE"}, {}))
    assert elsewhere == nowhere
    assert not any(assigned.experiment for assigned in elsewhere.values())
    assert all(elsewhere[person] == met[person] for person in PEOPLE if not met[person].experiment)


def test_a_ramp_step_that_falls_due_takes_people_in_and_lets_nobody_go(splits) -> None:
    before, half, full = (dealt(splits["home"], now) for now in (BEFORE, HALF, FULL))
    assert not any(assigned.experiment for assigned in before.values())
    entered = [{p for p, a in dealt_then.items() if a.experiment} for dealt_then in (half, full)]
    assert 0 < len(entered[0]) < len(entered[1])
    assert all(full[person] == half[person] for person in entered[0])


def test_shadows_are_scored_for_their_share_of_the_people_whatever_they_see(splits) -> None:
    counts = Counter(shadow for person in PEOPLE for shadow in splits["home"].shadows_of(person))
    assert abs(counts["ghost"] - 500) < 4 * 500**0.5
    assert abs(counts["rare"] - 50) < 4 * 50**0.5
    assert splits["basket"].shadows_of(PEOPLE[0]) == ()


@pytest.mark.parametrize("now", [BEFORE, HALF, FULL])
def test_an_explanation_ends_where_the_person_is(splits, now) -> None:
    for person in PEOPLE[:300]:
        assigned = splits["home"].assign(person, JP, now)
        told = list(splits["home"].explain(person, JP, now))
        if assigned.assigned_by == "holdout":
            assert len(told) == 1
            assert told[0].endswith("yes")
            continue
        assert told[0].endswith("no")
        assert any(f"ranker/{assigned.variant}, as do" in line for line in told) == bool(assigned.experiment)
        assert any(f"belongs to {assigned.variant}, as do" in line for line in told) == (not assigned.experiment)


def test_an_explanation_says_which_fact_was_not_met(splits) -> None:
    person = next(p for p, a in dealt(splits["home"], FULL).items() if a.experiment)
    told = list(splits["home"].explain(person, {"country": "DE"}, FULL))
    assert "target: country is JP or KR; the context says DE: not met" in told
    elsewhere = list(splits["basket"].explain(person, JP, FULL))
    assert any("does not run at this placement" in line for line in elsewhere)


@pytest.mark.parametrize(
    ("fact", "is_met"),
    [("JP", True), (("DE", "JP"), True), ("DE", False), (True, False), (1.0, True), (None, False)],
)
def test_a_target_is_met_by_one_of_its_values_of_the_same_kind(fact, is_met) -> None:
    context = {} if fact is None else {"country": fact}
    assert Target({"country": ("JP", 1.0)}).admits(context) == is_met


def test_a_gateway_of_an_older_configuration_follows_the_newest_allocations(product) -> None:
    own = settled(Allocations(), product, FULL)
    newer = CONFIG.replace("calm: {share: 4000", "calm: {share: 1000, policy: chance}, fresh: {share: 3000")
    newer = newer.replace("old: {share: 3000", "old: {share: 1000, policy: chance}, third: {share: 2000")
    newest = settled(own, parse_product(newer), FULL)
    before, after = (dealt(split_of(product, "home", own, one), FULL) for one in (None, newest))
    known = dealt(split_of(parse_product(newer), "home", newest), FULL)
    for person in PEOPLE:
        if known[person].variant == "third":
            assert after[person].assigned_by == "share", "an arm it does not know is no experiment"
        elif known[person].variant == "fresh":
            assert after[person] == before[person], "a variant it does not know leaves people where they were"
        else:
            assert after[person] == known[person]
    assert {"third", "fresh"} <= {assigned.variant for assigned in known.values()}


def test_an_explanation_tells_of_the_next_step_that_changes_something(splits) -> None:
    person = next(p for p, a in dealt(splits["home"], HALF).items() if a.experiment)
    told = list(splits["home"].explain(person, JP, BEFORE))
    variant = splits["home"].assign(person, JP, HALF).variant
    assert f"layer shop: ranker/{variant} from 2026-12-01 00:00:00 UTC on" in told
    assert not any(" on" in line for line in splits["home"].explain(person, JP, HALF))
