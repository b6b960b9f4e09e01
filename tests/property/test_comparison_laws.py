"""What holds of every comparison of arms, and of every sample ratio."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omakase.core.experiment_results import METRICS, ArmResult, Outcomes, compare
from omakase.core.sample_ratio import check_sample_ratio

cents = st.integers(-500, 10_000).map(lambda n: n / 100)
people = st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1), st.integers(0, 3), cents), max_size=60)
counts = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 10_000), min_size=1)


def arm(rows: list[tuple[int, float, int, float]]) -> ArmResult:
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    impressions, conversions = table[:, 0], table[:, 2]
    return ArmResult.of(
        Outcomes(impressions, np.floor(impressions * table[:, 1]), conversions, np.where(conversions, table[:, 3], 0.0))
    )


@given(a=people, b=people)
def test_the_difference_of_two_arms_is_less_that_of_the_other_two_ways_round(a, b):
    for metric in METRICS:
        one, other = arm(a).metrics[metric], arm(b).metrics[metric]
        there, back = compare(one, other).absolute, compare(other, one).absolute
        if there is None or back is None:
            assert there is back
            continue
        assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


@given(a=people, b=people)
@example(a=[(0, 0.0, 1, 1.0), (0, 0.0, 1, 3.0)], b=[(0, 0.0, 1, 1.8e-256)])
def test_an_always_valid_interval_holds_the_one_of_one_look(a, b):
    for metric in METRICS:
        pair = arm(a).metrics[metric], arm(b).metrics[metric]
        once, always = compare(*pair), compare(*pair, is_always_valid=True)
        for narrow, wide in ((once.absolute, always.absolute), (once.relative, always.relative)):
            if wide is not None:
                assert wide.low <= narrow.low <= narrow.high <= wide.high
        assert once.is_significant or not always.is_significant


@given(found=counts, shares=counts, factor=st.floats(0.001, 1000))
def test_a_sample_ratio_knows_proportions_alone_and_loses_nobody(found, shares, factor):
    once = check_sample_ratio(found, shares)
    scaled = check_sample_ratio(found, {name: share * factor for name, share in shares.items()})
    assert scaled.p_value == pytest.approx(once.p_value)
    assert sum(once.expected.values()) == pytest.approx(sum(once.people.values()))
    assert once.people == {name: found.get(name, 0) for name, share in shares.items() if share}
