"""A per-item model from events to a published snapshot, made anew, warm-started, and served."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dataflow.bounded import Pipeline
from dataflow.publishing import Publisher
from dataflow.trainer import Trainer
from omakase import models
from omakase.adapters.local.model_store import FileModelStore
from omakase.config import parse_product
from omakase.configured import ConfiguredModel, intervals_of
from omakase.core.catalogue import Item
from omakase.core.errors import InvalidConfig, InvalidInput
from omakase.core.item_learner import PerItemLearner
from omakase.core.item_statistics import ItemStatistics
from omakase.core.rewards import RewardTable
from omakase.core.slates import Slate
from omakase.repairs import warm_start
from omakase.repairs.history import Choice
from omakase.repairs.rebuilding import Rebuilder
from tests.integration.stage import START
from tests.integration.test_tracking import new_slate
from tests.integration.test_trainer import KEY, RULES, Desk

PRODUCT = """
placements: {home: {variants: {learnt: {share: 10000, policy: thompson, model: home}}}}
policies: {thompson: {type: linear_ts}}
models: {home: {type: per_item, features: taste, half_life_s: 3600, item_prior_precision: 5}}
features:
  taste: {item: [{type: numeric, name: price}], context: [{type: numeric, name: hour, scale: 24}]}
"""


class PerItemDesk(Desk):
    """A trainer whose model learns by item."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        learners = {KEY: PerItemLearner(1, 2, half_life_s=1000.0)}
        self.publisher = Publisher(self.store, self.state, self.clock, learners, "embedded", 0.0, lambda: 0.0)
        self.trainer = Trainer(
            log=self.bus,
            state=self.state,
            warehouse=self.warehouse,
            publisher=self.publisher,
            pipeline=Pipeline(RULES, {"home": RewardTable()}, {KEY: (1, 2)}, 2, learners),
            clock=self.clock,
            shard="embedded",
            max_messages=1000,
        )


@pytest.fixture
def desk(tmp_path: Path) -> PerItemDesk:
    return PerItemDesk(tmp_path)


def learn(desk: Desk, slate: Slate, *kinds: tuple[int, str]) -> None:
    desk.receive(slate)
    desk.happen(slate, *kinds)
    desk.tick(desk.clock.now() + 10)


def assert_same(found: ItemStatistics, wanted: ItemStatistics) -> None:
    assert found.item_ids == wanted.item_ids
    assert_allclose(found.precision, wanted.precision, atol=1e-12)
    assert_allclose(found.weights, wanted.weights)
    for name, outcome in wanted.outcomes.items():
        assert_allclose(found.outcomes[name].moments, outcome.moments, atol=1e-12)


def test_what_was_seen_and_clicked_is_learnt_of_each_item_and_rebuilt_the_same(desk):
    first, second = new_slate(), new_slate()
    learn(desk, first, (1, "impression"), (2, "click"))
    learn(desk, second, (2, "impression"))
    desk.happen(second, (2, "click"))
    desk.tick(START + 100)
    learnt = desk.learnt()
    places = {item_id: place for place, item_id in enumerate(learnt.items.item_ids)}
    clicked = first.deliveries[1].item_id
    assert set(places) == {first.deliveries[0].item_id, clicked}
    assert learnt.items.outcomes["click"].moments[places[clicked], 0] == pytest.approx(
        learnt.items.weights[places[clicked]]
    )
    assert learnt.items.weights.sum() == pytest.approx(learnt.weight)
    Rebuilder(desk.store, desk.state, desk.warehouse, "embedded").rebuild(KEY, Choice(), None, now=50.0)
    assert_same(desk.learnt().items, learnt.items)
    model = ConfiguredModel("home", None, PerItemLearner(1, 2, half_life_s=1000.0))
    assert model.learner.believe(desk.learnt()).over([clicked], np.ones((1, 2), np.float32)).known.tolist() == [0]


def shown(directory: Path, *rows: dict[str, object]) -> models.Published:
    product = parse_product(PRODUCT)
    model = ConfiguredModel.of(product, "home")
    log = directory / "log.ndjson"
    log.write_text("".join(json.dumps({"clicked": 1, "at": 1.7e9, **row}) + "\n" for row in rows))
    reader = warm_start.LogReader(product, model, {"i1": Item("i1", {"price": 3.0})})
    return warm_start.warm_start(FileModelStore(directory / "models"), model, "log", reader.lines(log), now=9.0)


def test_a_log_teaches_each_item_by_its_id(tmp_path):
    rows = {"item_id": "i1"}, {"item_id": "gone", "metadata": {"price": 1.0}}, {"item_id": "i1", "clicked": 0}
    items = shown(tmp_path, *rows).snapshot.statistics.items
    assert items.item_ids == ("gone", "i1")
    assert items.weights.tolist() == [1.0, 2.0]
    assert items.outcomes["click"].moments[:, 0].tolist() == [1.0, 1.0]


def test_a_log_that_does_not_name_its_items_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="this model learns by item"):
        shown(tmp_path, {"metadata": {"price": 1.0}})


def test_a_configured_per_item_model_learns_as_it_says_and_is_published_less_often():
    product = parse_product(PRODUCT)
    model = ConfiguredModel.of(product, "home")
    assert model.learner == PerItemLearner(1, 2, half_life_s=3600.0, item_prior_precision=5.0)
    assert intervals_of(product) == {model.key: 10.0}
    text = PRODUCT.replace("type: per_item, ", "").replace(", item_prior_precision: 5", "")
    assert ConfiguredModel.of(parse_product(text), "home").key != model.key


HOUR, WIDE = "{type: numeric, name: hour, scale: 24}", "{type: hashed, name: query, buckets: 256}"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("type: per_item", "type: linear"), "only a model of type per_item has weights by item"),
        ((HOUR, WIDE), "makes q = 1 .* = 257"),
    ],
)
def test_a_per_item_model_that_cannot_be_is_refused(change, fault):
    with pytest.raises(InvalidConfig, match=fault):
        parse_product(PRODUCT.replace(*change))
