"""What browsers are told: headers on every answer, and which pages may read one."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping

import pytest

from tests.integration.stage import PATIENCE_S, Stage
from tests.integration.till import Till

ORIGIN = "https://shop.example"


@pytest.fixture(scope="module")
def till(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Till]:
    with Stage() as stage:
        origins = f"{ORIGIN} https://m.shop.example:8443"
        running = Till(stage, tmp_path_factory.mktemp("till"), cors_origins=origins, max_body_bytes=10_000)
        yield running
        running.close()


def send(
    till: Till, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = {}
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", till.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/livez", 200), ("GET", "/nowhere", 404), ("POST", "/v1/conversions", 401), ("TRACE", "/livez", 405)],
)
def test_every_answer_carries_the_headers_and_names_no_server(till: Till, method: str, path: str, status: int) -> None:
    found, headers, _ = send(till, method, path)
    assert found == status
    assert headers.get_all("x-content-type-options") == ["nosniff"]
    assert headers.get_all("cache-control") == ["no-store"]
    assert not {"server", "strict-transport-security", "location"} & {name.lower() for name in headers}


def test_a_beacon_is_taken_as_plain_text_from_any_page(till: Till) -> None:
    slate = till.record(till.slate())
    event = json.dumps({"events": [{"delivery_id": slate.deliveries[0].delivery_id, "type": "click"}]}).encode()
    for origin in (ORIGIN, "https://elsewhere.example"):
        status, headers, body = send(
            till, "POST", "/v1/events", event, {"Content-Type": "text/plain;charset=UTF-8", "Origin": origin}
        )
        assert (status, json.loads(body)["accepted"]) == (202, 1)
        assert headers.get("access-control-allow-origin") == (origin if origin == ORIGIN else None)
        assert headers.get("access-control-allow-credentials") is None
        assert "Origin" in headers["vary"]


def test_a_page_of_a_configured_origin_may_send_json_and_read_refusals(till: Till) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for origin, status in (
        (ORIGIN, 200),
        ("https://m.shop.example:8443", 200),
        ("https://shop.example.evil", 400),
        ("http://shop.example", 400),
        ("null", 400),
    ):
        found, headers, _ = send(till, "OPTIONS", "/v1/events", b"", {"Origin": origin, **asked})
        assert found == status, origin
        assert headers.get("access-control-allow-origin") == (origin if status == 200 else None)
    found, headers, _ = send(till, "POST", "/v1/events", b"a" * 20_000, {"Origin": ORIGIN})
    assert (found, headers.get("access-control-allow-origin")) == (413, ORIGIN)
