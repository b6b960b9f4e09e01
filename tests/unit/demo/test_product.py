"""What the demo tells the services is a valid configuration for the world it simulates."""

from __future__ import annotations

import yaml

from omakase.config.schema import Product
from omakase.demo.market import build_market
from omakase.demo.product import CONTROL, MODEL, PLACEMENT, TREATMENT, product, product_yaml


def test_the_text_is_the_document() -> None:
    assert yaml.safe_load(product_yaml()) == product()


def test_half_of_the_people_are_the_control() -> None:
    variants = Product.model_validate(product()).placements[PLACEMENT].variants
    assert {name: variant.share for name, variant in variants.items()} == {CONTROL: 5000, TREATMENT: 5000}
    assert variants[CONTROL].model is None
    assert variants[TREATMENT].model == MODEL


def test_every_fact_of_the_market_finds_its_feature() -> None:
    spec = Product.model_validate(product()).feature_spec(MODEL)
    market = build_market(1, shoppers=300)
    assert {feature.name for feature in spec.item} == set(market.items[0].metadata)
    assert {feature.name for feature in spec.context} == set(market.contexts[0])
    assert all(spec.encode_item(item.metadata)[1:6].sum() == 1 for item in market.items)
    assert all(spec.encode_context(context)[:6].sum() == 2 for context in market.contexts)
