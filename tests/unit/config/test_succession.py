from __future__ import annotations

from omakase.config import Product, parse_product
from omakase.config.succession import with_names_of

BEFORE = parse_product(
    """
placements:
  home: {slots: 3, variants: {old: {share: 5000, policy: draw, model: gone}, all: {share: 5000, policy: chance}}}
  closed: {slots: 4, variants: {all: {share: 10000, policy: popular}}}
experiments:
  tried: {placements: [closed], variants: {odd: {share: 10, policy: chance}}}
policies: {draw: {type: linear_ts}, chance: {type: uniform}, popular: {type: popularity}}
models: {gone: {features: taste}, kept: {features: taste}}
features: {taste: {item: [{type: numeric, name: price}]}}
"""
)
AFTER = parse_product(
    """
placements:
  home: {slots: 5, variants: {all: {share: 10000, policy: draw, model: kept}}}
policies: {draw: {type: linear_ts, exploration: 0.1}}
models: {kept: {features: taste}}
features: {taste: {item: [{type: numeric, name: price}, {type: numeric, name: age}]}}
"""
)


def asked_for(product: Product, placement: str) -> list[tuple[str, str]]:
    return [(arm.policy, arm.model or "") for arm in product.arms_at(placement).values()]


def test_what_the_new_one_names_is_as_it_says():
    both = with_names_of(AFTER, BEFORE)
    assert both.placements["home"].slots == 5
    assert both.policies["draw"] == AFTER.policies["draw"]
    assert both.feature_spec("kept") == AFTER.feature_spec("kept")


def test_what_only_the_one_before_named_is_as_that_said():
    both = with_names_of(AFTER, BEFORE)
    assert both.placements["closed"].slots == 4
    assert both.policies["chance"] == BEFORE.policies["chance"]
    assert both.feature_spec("gone") == BEFORE.feature_spec("gone")


def test_every_arm_of_both_is_there_under_a_name_of_its_own():
    both = with_names_of(AFTER, BEFORE)
    asked = {
        name: sorted((arm.policy, arm.model or "") for arm in both.arms_at(name).values()) for name in both.placements
    }
    assert asked == {
        "home": [("chance", ""), ("draw", "gone"), ("draw", "kept")],
        "closed": [("chance", ""), ("popular", ""), ("popular", "")],
    }


def test_one_after_itself_needs_nothing_else():
    both = with_names_of(AFTER, AFTER)
    assert (both.models, both.policies, both.features) == (AFTER.models, AFTER.policies, AFTER.features)
