"""What a model learnt, carried over to another one with more features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dataflow.examples import example_row
from dataflow.publishing import batch_of
from omakase import models
from omakase.adapters.local.model_store import FileModelStore
from omakase.adapters.local.training_state import SqliteTrainingState
from omakase.adapters.local.warehouse import FileWarehouse
from omakase.configured import ConfiguredModel
from omakase.core.errors import Conflict, InvalidInput, Unavailable
from omakase.core.events import Joined
from omakase.core.features import Categorical, FeatureSpec, Numeric, cross
from omakase.core.ids import Pseudonym, new_request_id
from omakase.core.learners import LinearLearner
from omakase.core.posterior import Posterior, Statistics
from omakase.core.sessions import Example
from omakase.core.slates import Slate
from omakase.core.training import summarise
from omakase.core.values import Facts
from omakase.ports.model_store import ModelKey
from omakase.ports.training_state import Progress, Tick
from omakase.repairs.history import Choice
from omakase.repairs.rebuilding import Rebuilder
from omakase.rows import delivery_rows
from tests.integration.stage import KEYRING, START
from tests.slates import Ranked, stamp

COLOUR, DEVICE = Categorical("colour", ("red", "blue")), Categorical("device", ("ios", "web"))
OLD = ConfiguredModel("home", FeatureSpec((COLOUR,), (DEVICE,)), LinearLearner(2, 3))
WIDER = FeatureSpec((COLOUR, Numeric("price")), (DEVICE, Categorical("member", ("yes",))))
NEW = ConfiguredModel("home", WIDER, LinearLearner(3, 4))
ALL = Choice()


class Shop:
    """Learns under the old features, and logs all that is known. Red is clicked, and by members what is dear."""

    def __init__(self, directory: Path) -> None:
        self.store = FileModelStore(directory / "models")
        self.state = SqliteTrainingState(directory / "training.db")
        self.warehouse = FileWarehouse(directory / "warehouse")
        self.rebuilder = Rebuilder(self.store, self.state, self.warehouse, "embedded")
        self.examination = 1.0
        self._rng = np.random.default_rng(5)

    def learn(self, n: int, *, plain: bool = False, **changes: object) -> list[tuple[Facts, Facts, float]]:
        """One batch, one tick; `plain` ones have nothing that is new. Returns context, item and click of each."""
        learnt, examples, deliveries = [], [], []
        for i in range(n):
            context: Facts = {"device": "ios" if i % 2 else "web", "member": "yes" if i % 3 and not plain else "no"}
            item: Facts = {"colour": "red" if self._rng.random() < 0.5 else "blue"}
            item = {**item, "price": 0.0 if plain else float(self._rng.integers(-1, 2))}
            chance = 0.1 + 0.5 * (item["colour"] == "red") + 0.3 * item["price"] * (context["member"] == "yes")
            click = float(self._rng.random() < chance)
            learnt.append((context, item, click))
            example, slate = self._served(context, item, click, i, changes)
            examples.append(example)
            deliveries += delivery_rows(slate)
        done = self.state.progress()
        sequence, number = done.sequences.get(OLD.key, 0) + 1, done.number + 1
        rows = [example_row("embedded", sequence, example) for example in examples]
        self.warehouse.append("examples", f"embedded-{number:012d}", rows)
        self.warehouse.append("deliveries", f"loaded-{number:012d}", deliveries)
        batches = [batch_of(OLD.key, summarise(examples), (), sequence)]
        self.state.commit(Tick(Progress(number), {}, batches=batches))
        return learnt

    def _served(
        self, context: Facts, item: Facts, click: float, i: int, changes: dict[str, object]
    ) -> tuple[Example, Slate]:
        at = START + i
        request_id = new_request_id(at, self._rng.bytes)
        ranked = [Ranked("i", 0.5, OLD.spec.encode_item(item) * np.float32(self.examination), item)]
        slate = Slate(
            request_id=request_id,
            served_at=at,
            placement="home",
            variant="a",
            policy="p",
            model=OLD.key,
            model_version="",
            catalogue_generation=1,
            unit=Pseudonym("unit"),
            user=Pseudonym("user"),
            context=context,
            context_factor=OLD.spec.encode_context(context),
            deliveries=stamp(ranked, request_id, KEYRING),
        )
        slate = replace(slate, **changes)  # type: ignore[arg-type]
        outcomes = {"click": click, "reward": click}
        return Example(Joined.of(slate, 1), outcomes, 1.0, at, request_id=request_id, position=1), slate

    def found(self, key: ModelKey = NEW.key) -> Statistics:
        return models.newest(self.store, key).snapshot.statistics


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def expected(model: ConfiguredModel, *parts: list[tuple[Facts, Facts, float]]) -> Statistics:
    every = [one for part in parts for one in part]
    spec = model.spec
    x = np.stack([cross(spec.encode_context(context), spec.encode_item(item)) for context, item, _ in every])
    y = np.array([click for *_, click in every])
    return Statistics.of(x, {"click": y, "reward": y}, np.ones(len(every)))


def assert_same(found: Statistics, wanted: Statistics) -> None:
    assert found.examples == wanted.examples
    assert_allclose(found.precision, wanted.precision)
    assert_allclose(found.outcomes["click"].moment, wanted.outcomes["click"].moment)


def predict(model: ConfiguredModel, statistics: Statistics, context: Facts, item: Facts) -> float:
    mean = Posterior.of(statistics, "click", 1.0).mean
    return float(cross(model.spec.encode_context(context), model.spec.encode_item(item)) @ mean)


def test_the_new_model_has_learnt_as_if_its_features_had_been_there_all_along(shop):
    learnt = shop.learn(60)
    carried = shop.rebuilder.carry_over(OLD.key, NEW, ALL, now=9.0)
    assert_same(shop.found(), expected(NEW, learnt))
    found = carried.published.snapshot
    assert (carried.rows, carried.warnings, found.frozen) == (60, (), False)
    assert found.sequences == {f"rebuild:{OLD.key}:embedded": 1}


def test_where_only_old_features_matter_the_new_model_predicts_what_the_old_one_did(shop):
    learnt = shop.learn(200, plain=True)
    shop.rebuilder.carry_over(OLD.key, NEW, ALL, now=9.0)
    old, new = expected(OLD, learnt), shop.found()
    for context, item, _ in learnt[:20]:
        assert predict(NEW, new, context, item) == pytest.approx(predict(OLD, old, context, item))


def test_what_was_hardly_looked_at_goes_on_counting_for_less(shop):
    shop.examination = 0.5
    learnt = shop.learn(60)
    shop.rebuilder.carry_over(OLD.key, NEW, ALL, now=9.0)
    found, as_if_seen = shop.found(), expected(NEW, learnt)
    assert_allclose(found.precision, 0.25 * as_if_seen.precision)
    assert_allclose(found.outcomes["click"].moment, 0.5 * as_if_seen.outcomes["click"].moment)


def test_a_new_feature_whose_facts_were_logged_has_learnt_its_weight(shop):
    shop.learn(1000)
    shop.rebuilder.carry_over(OLD.key, NEW, ALL, now=9.0)
    context: Facts = {"device": "ios", "member": "yes"}
    dear, cheap = (predict(NEW, shop.found(), context, {"colour": "red", "price": price}) for price in (1.0, -1.0))
    assert dear - cheap == pytest.approx(0.6, abs=0.15)


def test_again_it_adds_only_what_is_new(shop):
    first = shop.learn(10)
    shop.rebuilder.carry_over(OLD.key, NEW, ALL, now=9.0)
    again = shop.rebuilder.carry_over(OLD.key, NEW, ALL, now=10.0)
    assert (again.published, again.rows) == (None, 0)
    second = shop.learn(7)
    assert shop.rebuilder.carry_over(OLD.key, NEW, ALL, now=11.0).rows == 7
    assert_same(shop.found(), expected(NEW, first, second))
    assert models.newest(shop.store, NEW.key).generation == 2


def test_it_adds_to_what_the_new_model_has_learnt_by_itself(shop):
    own = shop.learn(5)
    sums = expected(NEW, own)
    models.extend(shop.store, NEW.key, sums, {"embedded": (0, 4)}, NEW.learner, now=1.0)
    shop.rebuilder.carry_over(OLD.key, NEW, ALL, now=9.0)
    assert_same(shop.found(), expected(NEW, own, own))
    assert models.newest(shop.store, NEW.key).snapshot.sequences["embedded"] == 4


def test_of_two_at_once_one_adds(shop, monkeypatch):
    shop.learn(5)
    extend = models.extend

    def overtaken(*arguments: object) -> object:
        monkeypatch.undo()
        shop.rebuilder.carry_over(OLD.key, NEW, ALL, now=9.0)
        return extend(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("omakase.models.extend", overtaken)
    with pytest.raises(Conflict, match="by somebody else"):
        shop.rebuilder.carry_over(OLD.key, NEW, ALL, now=9.0)
    assert shop.found().examples == 5


def test_people_whose_context_is_gone_are_left_out_and_counted(shop):
    kept = shop.learn(4)
    shop.learn(3, unit=Pseudonym("gone"), user=Pseudonym("gone"))
    shop.learn(2, context={})
    shop.warehouse.forget(["gone"])
    carried = shop.rebuilder.carry_over(OLD.key, NEW, ALL, now=9.0)
    assert carried.warnings == ("5 rows were left out: no context is kept of the person",)
    assert_same(shop.found(), expected(NEW, kept))


def test_facts_that_do_not_fit_the_new_features_are_left_out_and_counted(shop):
    shop.learn(4)
    wrong = replace(NEW, spec=FeatureSpec((Numeric("colour"),), ()))
    carried = shop.rebuilder.carry_over(OLD.key, wrong, ALL, now=9.0)
    assert carried.published is None
    assert carried.warnings == ("4 rows were left out: a logged fact does not fit: 'colour' must be a number",)


def test_waits_for_deliveries_that_are_not_loaded_yet(shop, tmp_path):
    shop.learn(4)
    for file in (tmp_path / "warehouse" / "deliveries").glob("*/*.parquet"):
        file.unlink()
    with pytest.raises(Unavailable, match="wait until `batch` has loaded them"):
        shop.rebuilder.carry_over(OLD.key, NEW, ALL, now=9.0)


def test_refuses_the_same_schema(shop):
    with pytest.raises(InvalidInput, match="without a new schema"):
        shop.rebuilder.carry_over(OLD.key, OLD, ALL, now=9.0)
