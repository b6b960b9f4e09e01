"""Who falls in which variant, and who moves when the shares change."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omakase.core.assignment import Assignment
from omakase.core.errors import InvalidInput

PEOPLE = [f"person-{i}" for i in range(4000)]
shares = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 10_000), min_size=2, max_size=6)


def dealt(shares: dict[str, float], salt: str = "salt") -> list[str]:
    assignment = Assignment(salt, shares)
    return [assignment.variant_of(person) for person in PEOPLE]


def test_gives_every_variant_its_share():
    wanted = {"a": 7000, "b": 2500, "c": 400, "d": 100}
    counts = Counter(dealt(wanted))
    for variant, share in wanted.items():
        expected = len(PEOPLE) * share / 10_000
        # Four standard deviations of a binomial count; the hash is fixed, so this holds for ever or never.
        assert abs(counts[variant] - expected) < 4 * math.sqrt(expected)


@settings(max_examples=25, deadline=None)
@given(shares, st.data())
def test_a_variant_that_grows_takes_people_from_others_and_moves_nobody_else(before, data):
    grown = data.draw(st.sampled_from(sorted(before)))
    after = {**before, grown: before[grown] + data.draw(st.integers(1, 10_000))}
    moved = [(a, b) for a, b in zip(dealt(before), dealt(after), strict=True) if a != b]
    assert {to for _, to in moved} <= {grown}


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9999), st.integers(1, 9999))
def test_of_two_variants_only_the_loser_loses(share_before, share_after):
    before = dealt({"a": share_before, "b": 10_000 - share_before})
    after = dealt({"a": share_after, "b": 10_000 - share_after})
    moved = Counter((a, b) for a, b in zip(before, after, strict=True) if a != b)
    assert len(moved) <= 1
    assert sum(moved.values()) == abs(before.count("a") - after.count("a"))


@settings(max_examples=25, deadline=None)
@given(shares, shares)
def test_no_change_moves_more_than_the_bound(before, after):
    p, q = ({v: share / sum(of.values()) for v, share in of.items()} for of in (before, after))
    delta = sum(abs(p.get(v, 0.0) - q.get(v, 0.0)) for v in p.keys() | q.keys()) / 2
    moved = sum(a != b for a, b in zip(dealt(before), dealt(after), strict=True)) / len(PEOPLE)
    # Four standard deviations of a proportion among these people.
    assert moved <= 2 * delta / (1 + delta) + 4 * math.sqrt(0.25 / len(PEOPLE))


@settings(max_examples=25, deadline=None)
@given(shares)
def test_depends_on_ratios_alone_not_on_order_or_unit(of):
    doubled_and_reversed = {variant: of[variant] * 2 for variant in reversed(of)}
    assert dealt(of) == dealt(doubled_and_reversed)


def test_a_variant_without_a_share_gets_nobody_and_a_removed_one_frees_only_its_own():
    before = dealt({"a": 5000, "b": 3000, "c": 2000})
    assert before != dealt({"a": 5000, "b": 3000, "d": 2000})
    after = dealt({"a": 5000, "b": 3000, "c": 0})
    assert "c" not in after
    assert all(a == b for a, b in zip(before, after, strict=True) if a != "c")


def test_another_salt_deals_anew():
    same = sum(a == b for a, b in zip(dealt({"a": 1, "b": 1}), dealt({"a": 1, "b": 1}, "other"), strict=True))
    assert abs(same / len(PEOPLE) - 0.5) < 4 * math.sqrt(0.25 / len(PEOPLE))


@pytest.mark.parametrize("bad", [{}, {"a": 0.0}, {"a": -1.0, "b": 2.0}, {"a": math.nan}, {"a": math.inf}])
def test_refuses_shares_that_deal_nobody(bad):
    with pytest.raises(InvalidInput):
        Assignment("salt", bad)
