"""Who may come to `/admin/v1`, what is written down of it, and what its document says."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from omakase.api_keys import Scope
from omakase.issuing import create_key, revoke_key
from tests.integration.backoffice import ADMIN, Operator
from tests.integration.stage import RunningGateway, Shop, Stage, free_port, until

PERSON = "Grace-Hopper"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    directory = tmp_path_factory.mktemp("access")
    with Stage() as stage:
        shop = Shop(directory)
        shop.stock()
        running = RunningGateway(stage, shop, directory / "gateway", f"127.0.0.1:{free_port()}")
        yield running
        running.stop()


def lines_of(key: str, caplog: pytest.LogCaptureFixture) -> list[dict]:
    told = [record.getMessage() for record in caplog.records if record.name == "omakase.audit"]
    lines = [json.loads(line.removeprefix("admin ")) for line in told]
    return [line for line in lines if line["key"] == key]


def documented(gateway: RunningGateway) -> dict[tuple[str, str], dict]:
    document = json.loads(gateway.send("GET", "/openapi.json")[2])
    return {
        (method.upper(), path): told
        for path, methods in document["paths"].items()
        if path.startswith(ADMIN)
        for method, told in methods.items()
    }


def test_every_route_is_closed_without_a_key_of_the_scope(gateway):
    assert len(documented(gateway)) == 23
    storefront = create_key(gateway.keys, "shop", Scope.STOREFRONT)
    revoked = create_key(gateway.keys, "gone", Scope.ADMIN)
    revoke_key(gateway.keys, "gone")
    stranger = Operator(gateway, "anyone")
    before = gateway.send("GET", "/metrics")[2].count(b"\n")
    for key, expected in (("", 401), ("omk_wrong", 401), (revoked, 401), (storefront, 403)):
        stranger.key = key
        for method, path in documented(gateway):
            status, headers, answer = stranger.send(method, path.removeprefix(ADMIN), b"not even JSON")
            assert (status, headers["content-type"]) == (expected, "application/problem+json"), (method, path)
            assert b"not even" not in answer
    assert stranger.send("GET", "/nothing/of/the/kind")[0] == 403
    assert gateway.send("GET", "/metrics")[2].count(b"\n") - before < 20


@pytest.mark.parametrize(
    "path", ["/admin", "/admin/v1x/items", "//admin/v1/items", "/v1/../admin/v1/items", "/ADMIN/V1/items"]
)
def test_no_other_spelling_leads_in(gateway, path):
    assert gateway.send("GET", path)[0] == 404


def test_a_key_that_asks_too_often_is_told_to_wait(gateway):
    eager = Operator(gateway, "eager", rate=1.0, burst=2.0)
    statuses = [eager.send("GET", "/models")[0] for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_what_nobody_has_is_a_404_and_what_nobody_does_a_405(gateway):
    operator = Operator(gateway, "curious")
    assert operator.send("GET", "/nothing")[0] == 404
    assert operator.send("DELETE", "/items/i1")[0] == 405


def test_every_call_leaves_one_line_without_anything_personal(gateway, caplog):
    operator = Operator(gateway, "ada")
    with caplog.at_level(logging.INFO):
        operator.does("PATCH", "/items/i3", {"stock": 5})
        operator.send("GET", f"/items/{PERSON}")
        operator.sends_lines("/contexts:put", [{"user_id": PERSON, "context": {"city": PERSON}}, {"x": PERSON}])
        operator.does("POST", "/contexts:get", {"user_id": PERSON})
        operator.does("POST", "/contexts:get", {"user_id": f"{PERSON}-2", "name": PERSON}, expecting=422)
        operator.does("POST", "/users:forget", {"user_id": PERSON}, expecting=501)
        until(lambda: len(lines_of("ada", caplog)) == 6, "the last line is written")
    common = {"key": "ada", "method": "POST"}
    assert lines_of("ada", caplog) == [
        {"key": "ada", "method": "PATCH", "path": f"{ADMIN}/items/{{item_id}}", "ids": ["i3"], "status": 200},
        {"key": "ada", "method": "GET", "path": f"{ADMIN}/items/{{item_id}}", "status": 404},
        {**common, "path": f"{ADMIN}/contexts:put", "done": 1, "failed": 1, "status": 200},
        {**common, "path": f"{ADMIN}/contexts:get", "status": 200},
        {**common, "path": f"{ADMIN}/contexts:get", "status": 422},
        {**common, "path": f"{ADMIN}/users:forget", "status": 501},
    ]
    others = [record.getMessage() for record in caplog.records if record.name != "uvicorn.access"]  # which is off
    assert not any(PERSON in message for message in others)


def test_the_document_is_whole_and_names_every_status(gateway):
    assert gateway.unresolved() == set()
    for route, told in documented(gateway).items():
        assert {"401", "403", "429"} <= told["responses"].keys(), route
        assert told["summary"], route
