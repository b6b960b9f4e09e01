from __future__ import annotations

from pathlib import Path

import pytest

from omakase.adapters.local.catalogue_store import SqliteCatalogueStore
from omakase.adapters.local.model_store import FileModelStore
from omakase.config import parse_product
from omakase.core.catalogue import Item
from omakase.core.errors import Unavailable
from omakase.core.posterior import Statistics
from omakase.ports.model_store import ABSENT
from omakase.serving.configuration import Configuration, Revision
from omakase.snapshots import Snapshot, encode_snapshot, model_key
from recommender.bundle import Bundle
from recommender.following import FollowingLoader

FIRST = """
placements: {home: {variants: {all: {share: 10000, policy: draw, model: one}}}}
policies: {draw: {type: linear_ts}, even: {type: uniform}}
models: {one: {features: taste}, two: {features: taste}}
features: {taste: {item: [{type: numeric, name: price}]}}
"""
SECOND = FIRST.replace(", even: {type: uniform}", "").replace(", two: {features: taste}", ", new: {features: size}")
SECOND = SECOND.replace("features: {taste", "features: {size: {item: [{type: numeric, name: length}]}, taste")
THIRD = SECOND.replace("max_limit: 50", "").replace("{home: {", "{home: {slots: 4, ")


class Shop:
    """Stores, a configuration that a test sets, and a clock that stands still."""

    def __init__(self, directory: Path) -> None:
        self.catalogue = SqliteCatalogueStore(directory / "catalogue.db")
        self.catalogue.put([Item("a", {"price": 1.0, "length": 5.0}), Item("b", {"price": 2.0})])
        self.models = FileModelStore(directory / "models")
        self.configuration = Configuration(revision(FIRST))
        self.now = 0.0
        self.load = FollowingLoader(self.configuration, self.catalogue, self.models, lambda: self.now)
        self.bundle = self.load(self.load(None))

    def change(self, text: str) -> Bundle:
        self.configuration.newest = revision(text)
        self.bundle = self.load(self.bundle)
        return self.bundle


def revision(text: str) -> Revision:
    return Revision(parse_product(text), text)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_what_both_name_is_not_made_anew(shop):
    before, after = shop.bundle, shop.change(SECOND)
    assert after.models["one"].scorer is before.models["one"].scorer
    assert after.models["one"].items is before.models["one"].items
    assert after.models["new"].items.factors.shape == (2, 2)


def test_what_the_new_one_lacks_goes_on_until_nobody_asks_for_it(shop):
    before, after = shop.bundle, shop.change(SECOND)
    assert after.policy("even") == before.policy("even")
    assert after.model("two").scorer is before.model("two").scorer
    shop.now = 30.0
    assert shop.change(THIRD).policy("even"), "a gateway may still be on its way to the second"
    shop.now = 100.0
    assert shop.change(SECOND).models.keys() == {"one", "new"}


def test_it_is_in_force_once_requests_find_it(shop):
    shop.change(SECOND)
    assert shop.load.served is not shop.configuration.newest
    shop.load(shop.bundle)
    assert shop.load.served is shop.configuration.newest


def test_one_that_cannot_be_loaded_waits_and_the_old_one_is_kept_fresh(shop, monkeypatch, caplog):
    def away(key: object) -> int:
        if str(key).startswith("new/"):
            raise Unavailable("the store is away")
        return FileModelStore.generation(shop.models, key)

    monkeypatch.setattr(shop.models, "generation", away)
    before = shop.bundle
    assert shop.change(SECOND).models.keys() == before.models.keys()
    schema = before.models["one"].spec.schema_id
    snapshot = Snapshot("one", schema, Statistics.empty(2))
    shop.models.publish(model_key("one", schema), encode_snapshot(snapshot), if_generation=ABSENT)
    after = shop.load(shop.bundle)
    assert after.models["one"].version == f"one/{schema}@1"
    shop.catalogue.put([Item("c", {"price": 3.0})])
    after = shop.load(after)
    assert len(after.catalogue) == 3
    assert caplog.text.count("waits, the last one stays in force: the store is away") == 1
    monkeypatch.undo()
    assert "new" in shop.load(after).models
