"""Whatever the shares were and become: exactly the fewest people move, and only from losers to gainers."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from omakase.core.allocation import BUCKETS, UNDEALT, Allocation, Schedule

ARMS = "abcdef"


@st.composite
def shares(draw: st.DrawFn) -> dict[str, int]:
    """Of some arms, together at most everybody; some of them 0."""
    arms = draw(st.lists(st.sampled_from(ARMS), unique=True, max_size=len(ARMS)))
    cuts = sorted(draw(st.lists(st.integers(0, BUCKETS), min_size=len(arms), max_size=len(arms))))
    return {arm: upper - lower for arm, lower, upper in zip(arms, [0, *cuts], cuts, strict=False)}


def moves(before: Allocation, after: Allocation) -> Counter[tuple[str, str]]:
    return Counter((a, b) for a, b in zip(before.owners, after.owners, strict=True) if a != b)


def fewest(before: dict[str, int], after: dict[str, int]) -> int:
    """What every rule must move: what arms gain, people in no arm counted as one."""
    whole = [{**one, UNDEALT: BUCKETS - sum(one.values())} for one in (before, after)]
    return sum(max(0, whole[1].get(arm, 0) - whole[0].get(arm, 0)) for arm in {*whole[0], *whole[1]})


@settings(max_examples=20, deadline=None)
@given(st.lists(shares(), min_size=2, max_size=5))
def test_every_change_of_a_sequence_moves_exactly_the_fewest_people(sequence: list[dict[str, int]]) -> None:
    allocation = Allocation.fresh("salt", sequence[0])
    for before, after in pairwise(sequence):
        changed = allocation.to(after)
        assert changed.shares == {arm: share for arm, share in after.items() if share}
        moved = moves(allocation, changed)
        assert moved.total() == fewest(before, after)
        for left, joined in moved:
            if left != UNDEALT:
                assert after.get(left, 0) < before[left], "only an arm that loses lets anybody go"
            if joined != UNDEALT:
                assert before.get(joined, 0) < after[joined], "only an arm that gains takes anybody"
        allocation = changed


@settings(max_examples=10, deadline=None)
@given(shares(), shares())
def test_all_who_know_the_allocation_before_agree_on_the_next(before: dict[str, int], after: dict[str, int]) -> None:
    known = Allocation.fresh("salt", before)
    shuffled = dict(reversed(after.items()))
    assert known.to(after) == Allocation("salt", known.owners).to(shuffled)


@settings(max_examples=20, deadline=None)
@given(shares(), st.lists(st.integers(0, BUCKETS), min_size=2, max_size=4))
def test_nobody_leaves_an_arm_that_a_ramp_makes_grow(full: dict[str, int], steps: list[int]) -> None:
    ramp = sorted(steps)
    ramped = [{arm: share * step // BUCKETS for arm, share in full.items()} for step in ramp]
    schedule = Schedule.of(Allocation.fresh("salt", {}), [(float(i), one) for i, one in enumerate(ramped)])
    for now in range(len(ramp)):
        earlier, later = schedule.at(now - 0.5).owners, schedule.at(now).owners
        assert all(a == b for a, b in zip(earlier, later, strict=True) if a != UNDEALT)
        assert schedule.at(now).shares == {arm: share for arm, share in ramped[now].items() if share}
