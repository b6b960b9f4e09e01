"""What may be said of a logistic model."""

# ruff: noqa: E501  a fault is one line

from __future__ import annotations

import pytest

from omakase.config import parse_product
from omakase.core.logistic import LogisticLearner
from omakase.core.policies import Thompson
from tests.unit.config.test_loading import VALID, faults

LOGISTIC = (
    VALID.replace("main: {features: shop, prior_precision: 1}", "main: {type: logistic, features: shop}")
    .replace("linear_ts", "logistic_ts")
    .replace(", add_to_cart: 2", "")
)


def test_a_logistic_model_and_its_policy_are_what_was_written() -> None:
    product = parse_product(LOGISTIC.replace("shop}", "shop, prior_precision: 9, half_life_s: 60}"))
    learner = product.models["main"].compile(product.feature_spec("main"))
    assert learner == LogisticLearner(12, 4, 9.0, 60.0)
    assert product.policies["thompson"].compile() == Thompson(0.3)


def test_it_is_another_belief_than_a_linear_model_of_the_same_features() -> None:
    linear = parse_product(LOGISTIC.replace("type: logistic, ", "").replace("logistic_ts", "linear_ts"))
    assert parse_product(LOGISTIC).feature_spec("main").schema_id != linear.feature_spec("main").schema_id


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "logistic_ts",
            "linear_ts",
            "9: placements.home.variants.learnt.model: policy thompson draws from a linear or per_item model, and main is logistic: use logistic_ts",
        ),
        (
            "type: logistic, ",
            "",
            "9: placements.home.variants.learnt.model: policy thompson draws from a logistic model, and main is linear: use linear_ts",
        ),
        (
            "shop}",
            "shop, noise: 0.3}",
            "14: models.main.noise: a click's noise follows from its chance: leave it out of a logistic model",
        ),
        (
            "shop}",
            "shop, conversions: true}",
            "14: models.main.conversions: a logistic model learns clicks alone: use a linear one, or leave this out",
        ),
        (
            "{click: 1.0}",
            "{click: 1.0, add_to_cart: 3}",
            "6: placements.home.rewards.add_to_cart: no model of this placement learns from it: logistic ones learn clicks alone",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(old: str, new: str, fault: str) -> None:
    assert old in LOGISTIC
    assert faults(LOGISTIC.replace(old, new, 1)) == [f"shop.yaml:{fault}"]


def test_other_rewards_are_fine_where_another_model_learns_from_them() -> None:
    both = LOGISTIC.replace("{share: 4000, policy: chance}", "{share: 4000, policy: chance, model: other}")
    both = both.replace("models:\n", "models:\n  other: {features: shop}\n").replace("{click: 1.0}", "{add_to_cart: 3}")
    assert parse_product(both).models["other"].type == "linear"
