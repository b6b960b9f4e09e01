"""Contexts and forgetting through `/admin/v1`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from omakase.core.ids import RequestId
from omakase.deployment import Deployment
from omakase.ports.context_store import Click
from omakase.premises import Premises
from tests.integration.backoffice import Operator
from tests.integration.stage import KEYRING, START, RunningGateway, Shop, Stage, free_port
from tests.integration.test_forgetting import ADA, RAW, House

AWAY = "127.0.0.1:1"


@pytest.fixture
def operator(stage: Stage, shop: Shop, tmp_path: Path) -> Iterator[Operator]:
    gateway = RunningGateway(stage, shop, tmp_path / "gateway", f"127.0.0.1:{free_port()}")
    yield Operator(gateway)
    gateway.stop()


def test_contexts_are_put_read_and_dropped_under_pseudonyms(operator, shop):
    people = [{"user_id": f"ada{n}", "context": {"district": "Soho", "n": n}} for n in range(700)]
    for _ in range(2):
        told = operator.sends_lines("/contexts:put", [*people, {"user_id": "bob"}])
        assert told[-1] == {"done": 700, "failed": 1, "complete": True}
        assert told[-2]["faults"] == [{"line": 701, "message": "`context` must be an object"}]
    person = KEYRING.pseudonym("user", "ada7")
    shop.contexts.note([Click(person, RequestId(b"r" * 16), 1, "i3", START)])
    known = operator.does("POST", "/contexts:get", {"user_id": "ada7"})
    assert known == {"context": {"district": "Soho", "n": 7.0}, "clicked": ["i3"]}
    for _ in range(2):
        operator.does("POST", "/contexts:delete", {"user_id": "ada7"}, expecting=204)
    assert shop.contexts.find([person]) == {}
    operator.does("POST", "/contexts:get", {"user_id": "ada7"}, expecting=404)
    assert operator.does("POST", "/contexts:get", {"user_id": "ada8"})["context"]["n"] == 8.0


@pytest.mark.parametrize("path", ["/contexts:get", "/contexts:delete", "/users:forget"])
def test_a_person_must_be_named_as_the_route_says(operator, path):
    for body, status in (({"user_id": ""}, 422), ({"user": "a"}, 422), (b"{", 400), (b"[" * 100_000, 400)):
        operator.does("POST", path, body, expecting=status)
    operator.does("POST", path, b" " * 1_000_001, expecting=413)


def test_without_their_stores_the_routes_say_what_is_missing(stage, shop, tmp_path):
    gateway = RunningGateway(stage, shop, tmp_path / "gateway", f"127.0.0.1:{free_port()}", contexts=None)
    operator = Operator(gateway)
    for path in ("/contexts:get", "/contexts:delete", "/contexts:put"):
        assert "OMAKASE_CONTEXTS" in operator.does("POST", path, {"user_id": "a"}, expecting=501)["detail"]
    assert "OMAKASE_DATA_DIR" in operator.does("POST", "/users:forget", {"user_id": "a"}, expecting=501)["detail"]
    gateway.stop()


def test_a_store_of_contexts_that_is_away_is_a_503(operator, shop, tmp_path):
    shop.contexts._database._writer.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(tmp_path / "contexts.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    operator.does("POST", "/contexts:delete", {"user_id": "a"}, expecting=503)
    status, _, _ = operator.send("POST", "/contexts:put", b'{"user_id": "a", "context": {}}')
    assert status == 503
    other.close()


def test_a_person_is_forgotten_everywhere_while_the_services_run(stage, tmp_path):
    (tmp_path / "house").mkdir()
    house = House(tmp_path / "house")
    house.live_in()
    (tmp_path / "shop").mkdir()
    shop = Shop(tmp_path / "shop")
    premises = Premises.in_directory(Deployment(house.deployment.config, house.deployment.data_dir), house.clock)
    gateway = RunningGateway(stage, shop, tmp_path / "gateway", f"127.0.0.1:{free_port()}", premises=premises)
    operator = Operator(gateway)
    assert house.holding(ADA)
    reached = operator.does("POST", "/users:forget", {"user_id": RAW, "anonymous_id": "tablet"})["reached"]
    assert min(reached[place] for place in ("contexts", "spool", "deliveries", "bus", "warehouse")) > 0
    assert house.holding(ADA) == set()
    assert RAW not in json.dumps(reached)
    again = operator.does("POST", "/users:forget", {"user_id": RAW, "anonymous_id": "tablet"})["reached"]
    assert set(again.values()) == {0}
    operator.does("POST", "/users:forget", {}, expecting=422)
    gateway.stop()
