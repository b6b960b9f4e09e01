"""Keys of storefronts at the gateway: which slates each may ask for, how often, and from when on."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omakase.adapters import open_catalogue_store
from omakase.api_keys import Scope
from omakase.core.catalogue import Item
from omakase.deployment import Deployment
from omakase.issuing import create_key, revoke_key
from omakase.supervisor import Supervisor
from tests.integration.stage import PATIENCE_S, until
from tests.integration.test_supervisor import PRODUCT

ASKED = {"placement": "home-top", "anonymous_id": "a1"}
TWO = PRODUCT.replace(
    "policies:", "  home-end: {variants: {learnt: {share: 10000, policy: thompson, model: clicks}}}\npolicies:", 1
)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    directory = tmp_path_factory.mktemp("shop")
    config = directory / "product.yaml"
    config.write_text(TWO)
    deployment = Deployment(config, directory / "data", edge={"cors_origins": "https://shop.example"})
    open_catalogue_store(deployment.uris.catalogue).put(Item(f"i{n}", {"price": float(n)}) for n in range(20))
    with Supervisor(deployment) as supervisor:
        supervisor.wait_ready(timeout_s=60)
        yield supervisor


def ask(
    up: Supervisor, key: str | None, path: str = "/v1/recommendations", **fields: Any
) -> tuple[int, http.client.HTTPMessage, dict[str, Any]]:
    connection = http.client.HTTPConnection(up.gateway_url.removeprefix("http://"), timeout=PATIENCE_S)
    headers = {"Origin": "https://shop.example"} | ({"Authorization": f"Bearer {key}"} if key is not None else {})
    body = {name: value for name, value in {**ASKED, **fields}.items() if value is not None}
    try:
        connection.request("POST", path, json.dumps(body).encode(), headers)
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read())
    finally:
        connection.close()


def status(up: Supervisor, key: str | None, **fields: Any) -> int:
    return ask(up, key, **fields)[0]


def test_a_gateway_is_open_until_it_has_a_key_and_keys_are_replaced_without_a_gap(up: Supervisor) -> None:
    path: Path = up.deployment.keys
    assert [status(up, None), status(up, "omk_wrong")] == [200, 200]
    create_key(path, "orders", Scope.SERVER)
    assert status(up, None) == 200
    old = create_key(path, "old", Scope.STOREFRONT)
    until(lambda: status(up, None) == 401, "the gateway closes")
    assert [status(up, key) for key in (old, None, "omk_wrong")] == [200, 401, 401]
    new = create_key(path, "new", Scope.STOREFRONT)
    assert [status(up, key) for key in (old, new)] == [200, 200]
    revoke_key(path, "old")
    until(lambda: status(up, old) == 401, "the old one is refused")
    assert status(up, new) == 200
    revoke_key(path, "new")
    until(lambda: status(up, new) == 401, "the new one is refused too")
    assert status(up, None) == 401


def test_a_key_asks_for_its_placements_only_and_learns_no_others(up: Supervisor) -> None:
    key = create_key(up.deployment.keys, "top", Scope.STOREFRONT, placements=["home-top"])
    assert status(up, key) == 200
    for placement in ("home-end", "home-en", "nowhere"):
        found, _, answer = ask(up, key, placement=placement)
        assert (found, "home-end" in json.dumps(answer)) == (403, False)


def test_a_page_needs_a_key_for_each_of_its_placements_and_counts_for_each(up: Supervisor) -> None:
    key = create_key(up.deployment.keys, "page", Scope.STOREFRONT, placements=["home-top"], rate=1, burst=20)
    page = {"path": "/v1/recommendations:batch", "placement": None}
    refused = ask(up, key, **page, slates=[{"placement": "home-top"}, {"placement": "home-end"}])
    assert refused[0] == 403
    taken = [ask(up, key, **page, slates=[{"placement": "home-top"}] * 10)[0] for _ in range(4)]
    assert taken[0] == 200
    assert taken[-1] == 429


def test_a_key_of_another_scope_is_refused_before_its_body_is_read(up: Supervisor) -> None:
    server, admin = (create_key(up.deployment.keys, f"a-{scope}", scope) for scope in (Scope.SERVER, Scope.ADMIN))
    assert [status(up, server), status(up, admin)] == [403, 403]
    assert status(up, admin, limit="nonsense") == 403


def test_above_its_rate_a_key_is_told_when_to_come_again(up: Supervisor) -> None:
    key = create_key(up.deployment.keys, "slow", Scope.STOREFRONT, rate=1, burst=2)
    answers = [ask(up, key) for _ in range(4)]
    assert [found for found, _, _ in answers].count(429) >= 1
    _, headers, _ = next(answer for answer in answers if answer[0] == 429)
    assert headers["Retry-After"] == "1"


def test_every_answer_of_the_gateway_carries_the_headers_and_is_readable_to_its_pages(up: Supervisor) -> None:
    key = create_key(up.deployment.keys, "browser", Scope.STOREFRONT)
    for found, headers, _ in (ask(up, key), ask(up, None), ask(up, key, limit=-1)):
        assert found in (200, 401, 422)
        assert headers.get_all("x-content-type-options") == ["nosniff"]
        assert headers.get_all("cache-control") == ["no-store"]
        assert headers["access-control-allow-origin"] == "https://shop.example"
        assert "server" not in headers
