"""Experiments as they are written: what they come to, and every fault with its line and what to write instead."""

# ruff: noqa: E501  a fault is one line, and so is the case that expects it

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from omakase.config import parse_product
from omakase.core.errors import InvalidConfig

VALID = """\
placements:
  home:
    layer: shop
    holdout: plain
    variants: {plain: {share: 10000, policy: chance}, none: {share: 0, policy: chance}}
    shadows: {ghost: {share: 100, policy: thompson, model: main}}
  basket:
    layer: shop
    variants: {still: {share: 10000, policy: chance}}
  search:
    variants: {still: {share: 10000, policy: chance}}
experiments:
  ranker:
    placements: [home, basket]
    target: {country: [JP, KR], logged_in: true, age: 30}
    ramp:
      - {at: 2026-12-01T09:00:00+09:00, share: 100}
      - {at: 2026-12-02T00:00:00Z, share: 10000}
    variants:
      old: {share: 333, policy: chance}
      new: {share: 5000, policy: thompson, model: main}
  second:
    placements: [basket]
    variants:
      third: {share: 4667, policy: chance}
holdout: {share: 200, salt: "2026"}
policies: {chance: {type: uniform}, thompson: {type: linear_ts}}
models: {main: {features: shop}}
features: {shop: {}}
"""


def at(day: int, hour: int) -> float:
    return datetime(2026, 12, day, hour, tzinfo=UTC).timestamp()


def test_an_experiment_is_what_was_written() -> None:
    product = parse_product(VALID)
    ranker = product.experiments["ranker"]
    assert ranker.target == {"country": ("JP", "KR"), "logged_in": (True,), "age": (30.0,)}
    assert ranker.changes() == (at(1, 0), at(2, 0))
    assert [product.layer_of(name) for name in product.placements] == ["shop", "shop", "search"]
    assert list(product.arms_at("home")) == ["plain", "none", "ghost", "old", "new"]
    assert list(product.arms_at("search")) == ["still"]


def test_a_ramp_takes_its_part_of_every_share_rounded_down_and_nobody_before_it_begins() -> None:
    ranker = parse_product(VALID).experiments["ranker"]
    moments = (at(1, 0) - 1, at(1, 0), at(2, 0))
    assert [dict(ranker.shares(now)) for now in moments] == [
        {"old": 0, "new": 0},
        {"old": 3, "new": 50},
        {"old": 333, "new": 5000},
    ]


def test_without_a_ramp_everybody_takes_part_at_once() -> None:
    assert parse_product(VALID).experiments["second"].shares(0.0) == {"third": 4667}


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("[home, basket]", "[hme, basket]", "14: experiments.ranker.placements[0]: nothing in placements is named 'hme'; did you mean 'home'?"),
        ("[home, basket]", "[home, home]", "14: experiments.ranker.placements: names 'home' more than once"),
        ("[home, basket]", "[]", "14: experiments.ranker.placements: must not be empty"),
        ("[home, basket]", "[home, search]", "14: experiments.ranker.placements[1]: search is of layer search, and home of layer shop: an experiment runs in one layer; give these placements the same `layer`"),
        ("share: 4667", "share: 4668", "24: experiments.second.variants: the experiments of layer shop take 10001 up to this one; all together they take at most 10000, which is everybody"),
        ("old: {share: 333, ", "still: {share: 333, ", "20: experiments.ranker.variants.still: still is at basket already, in line 9: choose another name"),
        ("ghost:", "plain:", "6: placements.home.shadows.plain: plain is at home already, in line 5: choose another name"),
        ("third:", "new:", "25: experiments.second.variants.new: new is at basket already, in line 21: choose another name"),
        ("2026-12-02T00", "2026-12-01T00", "18: experiments.ranker.ramp[1].at: 2026-12-01T00:00:00Z is not later than the step before: order them by time"),
        ("09:00:00+09:00", "09:00:00", "17: experiments.ranker.ramp[0].at: does not say which time zone: add +09:00, or Z for UTC"),
        ("2026-12-01T09:00:00+09:00", "tomorrow", "17: experiments.ranker.ramp[0].at: is no moment: write one such as 2026-12-01T09:00:00+09:00"),
        ("share: 100}\n      -", "share: 10001}\n      -", "17: experiments.ranker.ramp[0].share: must be at most 10000, not 10001"),
        ("[JP, KR]", "[]", "15: experiments.ranker.target.country: must not be empty"),
        ("[JP, KR]", "[[JP]]", "15: experiments.ranker.target.country: must be text, a number, true or false, or a list of those"),
        ("[JP, KR]", "", "15: experiments.ranker.target.country: must be text, a number, true or false, or a list of those"),
        ("age: 30", "hour: 9", "15: experiments.ranker.target.hour: hour is derived after people are assigned: target what the request itself says"),
        ("holdout: plain", "holdout: plan", "4: placements.home.holdout: nothing in variants is named 'plan'; did you mean 'plain'?"),
        ("share: 200", "share: 20000", "26: holdout.share: must be at most 10000, not 20000"),
        ("share: 100, policy: thompson, model: main", "share: 100, policy: thompson", "6: placements.home.shadows.ghost.model: is missing: policy thompson ranks by a model; known: main"),
        ("share: 5000, policy: thompson", "share: 5000, policy: thomson", "21: experiments.ranker.variants.new.policy: nothing in policies is named 'thomson'; did you mean 'thompson'?"),
        ("policy: thompson, model: main}\n  second", "policy: thompson, model: main, recommender: b}\n  second", "21: experiments.ranker.variants.new.recommender: nothing in recommenders is named 'b'"),
        ("ramp:", "rampe:", "16: experiments.ranker.rampe: unknown key; did you mean 'ramp'?"),
    ],
)  # fmt: skip
def test_a_fault_names_its_line_and_what_to_change(old: str, new: str, fault: str) -> None:
    assert old in VALID
    with pytest.raises(InvalidConfig) as refused:
        parse_product(VALID.replace(old, new, 1), "shop.yaml")
    found = refused.value.faults
    assert len([one for one in found if one.startswith(f"shop.yaml:{fault}")]) == 1, found


def test_a_weight_that_only_a_shadow_would_heed_is_a_silent_nothing() -> None:
    ghostly = VALID.replace("    layer: shop\n", "    layer: shop\n    rewards: {conversion: 1}\n", 1)
    ghostly = ghostly.replace("policy: thompson, model: main}\n  second", "policy: chance, model: main}\n  second")
    with pytest.raises(InvalidConfig, match="no model of this placement learns from conversions"):
        parse_product(ghostly)
    selling = ghostly.replace("{features: shop}}", "{features: shop}, seller: {features: shop, conversions: true}}")
    with pytest.raises(InvalidConfig, match="no model of this placement learns from conversions"):
        parse_product(selling.replace("policy: thompson, model: main", "policy: thompson, model: seller"))
    assert parse_product(selling.replace("policy: chance, model: main", "policy: chance, model: seller"))
