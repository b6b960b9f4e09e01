"""Whether people are where they were dealt to."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from omakase.core.errors import InvalidInput
from omakase.core.sample_ratio import LIMIT, check_sample_ratio

SHARES = {"control": 5000, "a": 2500, "b": 2500}


def test_the_p_value_is_pearson_s() -> None:
    found = check_sample_ratio({"control": 520, "a": 230, "b": 250}, SHARES)
    assert found.p_value == pytest.approx(chisquare([520, 230, 250], [500, 250, 250]).pvalue)
    assert found.expected == {"control": 500, "a": 250, "b": 250}


def test_people_dealt_by_their_shares_are_off_about_as_often_as_the_limit_says() -> None:
    rng = np.random.default_rng(2019)
    drawn = rng.multinomial(20_000, [0.5, 0.25, 0.25], size=20_000)
    p_values = [check_sample_ratio(dict(zip(SHARES, row, strict=True)), SHARES).p_value for row in drawn.tolist()]
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.005)
    assert np.mean(np.array(p_values) < LIMIT) == pytest.approx(LIMIT, abs=0.0007)


def test_two_percent_lost_on_one_side_of_many_people_are_found_and_named() -> None:
    found = check_sample_ratio({"control": 500_000, "a": 250_000, "b": 245_000}, SHARES)
    assert (found.is_off, found.worst) == (True, "b")
    assert not check_sample_ratio({"control": 5000, "a": 2500, "b": 2450}, SHARES).is_off


@pytest.mark.parametrize(
    ("people", "shares"),
    [
        ({"a": 9, "b": 0}, {"a": 1, "b": 1}),
        ({"a": 100}, {"a": 10_000}),
        ({"a": 100, "b": 90}, {}),
        ({}, {"a": 1, "b": 1}),
        ({"a": 100, "b": 3}, {"a": 100, "b": 0}),
    ],
)
def test_with_too_few_people_or_arms_nothing_is_said(people, shares) -> None:
    found = check_sample_ratio(people, shares)
    assert (found.p_value, found.is_off) == (None, False)


def test_an_arm_with_a_share_and_nobody_in_it_is_off_and_one_without_a_share_is_not_looked_at() -> None:
    found = check_sample_ratio({"a": 1000, "old": 7}, {"a": 5000, "b": 5000, "old": 0})
    assert found.is_off
    assert found.people == {"a": 1000, "b": 0}


def test_without_shares_no_arm_is_the_worst() -> None:
    with pytest.raises(InvalidInput):
        _ = check_sample_ratio({"a": 1}, {}).worst
