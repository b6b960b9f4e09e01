"""Models through `/admin/v1`: looked at, put, frozen, rolled back, let learn again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from omakase.core.posterior import Statistics
from omakase.deployment import Deployment
from omakase.premises import Premises
from omakase.snapshots import decode_snapshot, encode_snapshot
from tests.integration.backoffice import Operator
from tests.integration.stage import START, RunningGateway, RunningRecommender, Shop, Stage, free_port, until


@pytest.fixture
def operator(stage: Stage, shop: Shop, tmp_path: Path) -> Iterator[Operator]:
    gateway = RunningGateway(stage, shop, tmp_path / "gateway", f"127.0.0.1:{free_port()}")
    yield Operator(gateway)
    gateway.stop()


def test_models_are_listed_and_looked_at(operator, shop):
    assert operator.does("GET", "/models") == {"models": []}
    shop.publish(sequences={"s": 4}, reason="added 500 examples")
    shop.publish(sequences={"s": 5}, published_at=START)
    (found,) = operator.does("GET", "/models")["models"]
    assert (found["generation"], found["examples"], found["frozen"], found["sequences"]) == (2, 500, False, {"s": 5})
    assert found["published_at"] == "2025-10-09T08:53:20+00:00"
    for name in ("clicks", found["model"]):
        assert operator.does("GET", f"/models/{name}") == {**found, "history": [2, 1]}
    assert "known: clicks/" in operator.does("GET", "/models/click", expecting=404)["detail"]


def test_a_model_is_frozen_rolled_back_and_resumed_and_again_without_harm(operator, shop):
    shop.publish(sequences={"s": 4})
    shop.publish(shop.learnt(600), sequences={"s": 5})
    frozen = [operator.does("POST", "/models/clicks:freeze") for _ in range(2)]
    assert [(one["generation"], one["frozen"], one["sequences"]) for one in frozen] == [(3, True, {"s": 5})] * 2
    answer = operator.does("POST", "/models/clicks:rollback", {}, expecting=422)
    assert "is frozen after a freeze by hand: name the generation" in answer["detail"]
    back = operator.does("POST", "/models/clicks:rollback", {"to": 1})
    assert (back["examples"], back["frozen"], back["sequences"]) == (500, True, {"s": 5})
    resumed = [operator.does("POST", "/models/clicks:resume") for _ in range(2)]
    assert [(one["generation"], one["frozen"]) for one in resumed] == [(5, False)] * 2
    operator.does("POST", "/models/clicks:rollback", {"to": 99}, expecting=404)
    operator.does("POST", "/models/clicks:rollback", {"too": 1}, expecting=422)
    operator.does("POST", "/models/clicks:rollback", b"[[" * 100_000, expecting=400)
    operator.does("POST", "/models/clicks:rollback", b" " * 1_000_001, expecting=413)
    for action in ("freeze", "resume", "rollback"):
        operator.does("POST", f"/models/none:{action}", {}, expecting=404)


def test_a_snapshot_goes_from_one_shop_to_another_and_is_served(stage, shop, operator, tmp_path):
    operator.does("GET", "/models/clicks:snapshot", expecting=404)
    shop.publish(shop.learnt(600), sequences={"there": 9})
    status, headers, snapshot = operator.send("GET", "/models/clicks:snapshot")
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    (tmp_path / "elsewhere").mkdir()
    other = Shop(tmp_path / "elsewhere")
    other.stock()
    recommender = RunningRecommender(stage, other, tmp_path / "spool").ready()
    gateway = RunningGateway(stage, other, tmp_path / "elsewhere" / "gateway", recommender.target)
    theirs = Operator(gateway)
    put = theirs.does("PUT", "/models/clicks", snapshot)
    assert (put["generation"], put["examples"], put["sequences"]) == (1, 600, {})
    version = other.version(1)
    until(lambda: gateway.ask(placement="home-end", anonymous_id="p")["model_version"] == version, "it is served")
    gateway.stop()
    recommender.stop()


def test_a_put_snapshot_takes_over_where_learning_stands(operator, shop):
    shop.publish(shop.learnt(600))
    snapshot = operator.send("GET", "/models/clicks:snapshot")[2]
    shop.publish(sequences={"s": 7})
    operator.does("POST", "/models/clicks:freeze")
    put = operator.does("PUT", "/models/clicks", snapshot)
    assert (put["examples"], put["sequences"], put["frozen"]) == (600, {"s": 7}, True)


def test_what_is_no_snapshot_of_this_model_is_refused(operator, shop):
    shop.publish()
    good = decode_snapshot(operator.send("GET", "/models/clicks:snapshot")[2])
    d = good.statistics.dimensions
    lopsided = replace(good.statistics, precision=-good.statistics.precision)
    wrong = {
        b"nonsense": "not a model snapshot",
        encode_snapshot(replace(good, model="other")): "it is of model 'other'",
        encode_snapshot(replace(good, schema_id="0")): "schema '0'",
        encode_snapshot(replace(good, statistics=Statistics.empty(d + 1))): f"{d + 1} dimensions",
        encode_snapshot(replace(good, statistics=lopsided)): "that could be served",
    }
    for body, told in wrong.items():
        assert told in operator.does("PUT", "/models/clicks", body, expecting=422)["detail"]
    operator.does("PUT", "/models/other", encode_snapshot(good), expecting=404)
    operator.does("PUT", "/models/clicks", b"x" * 1_000_001, expecting=413)
    assert operator.does("GET", "/models/clicks")["history"] == [1]


def test_a_corrupt_model_is_rolled_back_only_by_who_knows_what_was_learnt(stage, shop, operator, tmp_path):
    shop.publish()
    snapshot = operator.send("GET", "/models/clicks:snapshot")[2]
    shop.publish_bytes(b"nonsense")
    (found,) = operator.does("GET", "/models")["models"]
    assert (found["generation"], "not a model snapshot" in found["corrupt"], found["examples"]) == (2, True, None)
    answer = operator.does("POST", "/models/clicks:rollback", {}, expecting=409)
    assert "where the trainer keeps its state" in answer["detail"]
    operator.does("PUT", "/models/clicks", snapshot, expecting=409)
    for method, action in (("GET", "snapshot"), ("POST", "freeze"), ("POST", "resume")):
        operator.does(method, f"/models/clicks:{action}", expecting=409)
    premises = Premises.in_directory(Deployment(tmp_path / "c", tmp_path / "data"), shop.clock)
    gateway = RunningGateway(stage, shop, tmp_path / "other", f"127.0.0.1:{free_port()}", premises=premises)
    assert Operator(gateway).does("POST", "/models/clicks:rollback", {})["reason"] == "rollback to 1"
    gateway.stop()


def test_a_store_that_is_away_is_a_503(operator, shop, tmp_path):
    shop.publish()
    for pointer in (tmp_path / "models").rglob("newest"):
        pointer.unlink()
        pointer.mkdir()
    for method, path in (("GET", ""), ("GET", "/clicks"), ("POST", "/clicks:freeze"), ("GET", "/clicks:snapshot")):
        operator.does(method, f"/models{path}", expecting=503)
    operator.does("GET", "/placements", expecting=503)
    operator.does("GET", "/experiments", expecting=503)
