from __future__ import annotations

from pathlib import Path

import pytest

from omakase.adapters.local.catalogue_store import SqliteCatalogueStore
from omakase.adapters.local.model_store import FileModelStore
from omakase.config import parse_product
from omakase.core.catalogue import Item
from omakase.core.posterior import Statistics
from omakase.ports.model_store import ABSENT
from omakase.snapshots import Snapshot, encode_snapshot, model_key
from recommender.loading import BundleLoader

PRODUCT = parse_product(
    """
placements: {home: {variants: {a: {share: 5000, policy: ts, model: one}, b: {share: 5000, policy: ts, model: two}}}}
policies: {ts: {type: linear_ts}}
models: {one: {features: taste}, two: {features: taste, prior_precision: 4.0}}
features: {taste: {item: [{type: numeric, name: price}]}}
"""
)
SCHEMA = PRODUCT.feature_spec("one").schema_id


@pytest.fixture
def catalogue(tmp_path: Path) -> SqliteCatalogueStore:
    store = SqliteCatalogueStore(tmp_path / "catalogue.db")
    store.put([Item("a", {"price": 1.0}), Item("b", {"price": 2.0})])
    return store


@pytest.fixture
def models(tmp_path: Path) -> FileModelStore:
    return FileModelStore(tmp_path / "models")


@pytest.fixture
def load(catalogue: SqliteCatalogueStore, models: FileModelStore) -> BundleLoader:
    return BundleLoader(PRODUCT, catalogue, models)


def test_returns_the_same_bundle_while_nothing_has_changed(load):
    bundle = load(None)
    assert load(bundle) is bundle


def test_models_of_one_schema_share_one_matrix_and_differ_in_their_prior(load):
    bundle = load(None)
    assert bundle.models["one"].items is bundle.models["two"].items
    assert bundle.models["one"].scorer.belief.deviations[0, 0] == pytest.approx(
        2 * bundle.models["two"].scorer.belief.deviations[0, 0]
    )


def test_a_new_snapshot_swaps_one_belief_and_encodes_nothing_again(load, models):
    before = load(None)
    snapshot = Snapshot("two", SCHEMA, Statistics.empty(2))
    models.publish(model_key("two", SCHEMA), encode_snapshot(snapshot), if_generation=ABSENT)
    after = load(before)
    assert after.models["two"].version == f"two/{SCHEMA}@1"
    assert after.models["one"].version == f"one/{SCHEMA}@0"
    assert after.models["one"].items is before.models["one"].items
    assert after.models["one"].scorer.belief is before.models["one"].scorer.belief


def test_a_new_catalogue_swaps_every_matrix_and_keeps_every_belief(load, catalogue):
    before = load(None)
    catalogue.put([Item("c", {"price": 3.0})])
    after = load(before)
    assert after.models["one"].items.factors.shape == (3, 2)
    assert after.plain.factors.shape == (3, 0)
    assert after.catalogue.generation == after.models["two"].items.catalogue.generation
    assert after.models["one"].scorer.belief is before.models["one"].scorer.belief


def test_of_many_items_that_do_not_fit_some_are_told_and_the_others_counted(load, catalogue, caplog):
    catalogue.put([Item(f"odd{i}", {"price": "dear"}) for i in range(50)])
    load(None)
    of_one = [message for message in caplog.messages if message.startswith("model one cannot show")]
    assert len(of_one) == 21
    assert of_one[-1] == "model one cannot show 30 more items"
