"""The annotated example is valid, complete, and fits the items and contexts beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omakase.config import Product, experiments, load_product, placements, schema
from omakase.config.sections import Section
from omakase.core.catalogue import Catalogue, Item
from omakase.core.values import facts_of

EXAMPLES = Path(__file__).parents[3] / "examples"
FILE = EXAMPLES / "storefront.yaml"


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLES / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def product() -> Product:
    return load_product(FILE)


def test_the_example_is_short_enough_to_be_read() -> None:
    assert len(FILE.read_text().splitlines()) < 170


@pytest.mark.parametrize(
    "section",
    [
        section
        for section in {**vars(schema), **vars(placements), **vars(experiments)}.values()
        if isinstance(section, type) and issubclass(section, Section)
    ],
)
def test_the_examples_mention_every_key(section: type[Section]) -> None:
    text = "".join(file.read_text() for file in EXAMPLES.glob("*.yaml"))
    optional = {"salt", "target", "dimensions", "clip"}
    assert {key for key in section.model_fields if f"{key}:" not in text} <= optional


def test_every_example_is_valid() -> None:
    files = sorted(EXAMPLES.glob("*.yaml"))
    assert len(files) > 1
    assert all(load_product(file).placements for file in files)


def test_every_item_encodes_without_a_refusal(product: Product) -> None:
    items = [Item(row.pop("item_id"), facts_of(row.pop("metadata")), **row) for row in lines("items.ndjson")]
    catalogue = Catalogue(tuple(items))
    assert len(set(catalogue.item_ids)) == len(items) >= 10
    assert 0 < catalogue.available.sum() < len(items)
    for model in product.models:
        spec = product.feature_spec(model)
        factors = [spec.encode_item(item.metadata) for item in items]
        assert len({factor.tobytes() for factor in factors}) > 4


def test_every_context_encodes_without_a_refusal(product: Product) -> None:
    rows = lines("contexts.ndjson")
    assert all(row.keys() == {"user_id", "context"} for row in rows)
    spec = product.feature_spec("home")
    request = facts_of({"device": "ios", "hour": 18, "weekday": 0})
    factors = [spec.encode_context({**facts_of(row["context"]), **request}) for row in rows]
    assert len({factor.tobytes() for factor in factors}) == len(rows)


def test_every_fact_of_the_items_is_read_by_some_feature(product: Product) -> None:
    known = {feature.name for features in product.features.values() for feature in features.item}
    assert {fact for row in lines("items.ndjson") for fact in row["metadata"]} == known
