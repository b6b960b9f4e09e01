"""The route that reads its requests by itself, and what a client or a proxy may make of HTTP: as any other route."""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Iterator

import pytest

from omakase.api_keys import Scope
from omakase.issuing import create_key
from tests.integration.stage import PATIENCE_S, RunningGateway, Shop, Stage, free_port, until

BODY = b'{"placement":"home-top","anonymous_id":"a1"}'
PATH, PAGE = "/v1/recommendations", "/v1/recommendations:batch"
CHUNKED = b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    directory = tmp_path_factory.mktemp("strange")
    with Stage() as stage:
        shop = Shop(directory)
        shop.stock()
        running = RunningGateway(stage, shop, directory / "gateway", f"127.0.0.1:{free_port()}")
        yield running
        running.stop()


@pytest.fixture(scope="module")
def key(gateway: RunningGateway) -> str:
    key = create_key(gateway.keys, "shop", Scope.STOREFRONT)
    until(lambda: gateway.send("POST", PATH, BODY)[0] == 401, "the gateway has noticed")
    return key


def request(
    key: str, *fields: str, path: str = PATH, method: str = "POST", body: bytes = BODY, is_last: bool = True
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: shop.example", f"Authorization: Bearer {key}", *fields]
    lines += [] if "Transfer-Encoding: chunked" in fields else [f"Content-Length: {len(body)}"]
    lines += ["Connection: close"] if is_last else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def talk(gateway: RunningGateway, sent: bytes) -> bytes:
    """Everything that is answered until the connection is closed."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_S) as sock:
        sock.sendall(sent)
        answer = b""
        while part := sock.recv(65_536):
            answer += part
        return answer


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3})", answer)]


@pytest.mark.parametrize(
    "path",
    [
        f"{PATH}/",
        f"/{PATH}",
        f"{PATH};explain=true",
        f"{PATH}%20",
        f"{PATH}%00",
        f"{PATH}%0d%0aX-Leak:1",
        "/v1/%2e/recommendations",
        "/v1/x/%2e%2e/recommendations",
        "/v1/./recommendations",
        f"{PAGE}/../../admin/v1/items",
        "/V1/recommendations",
        "*",
    ],
)
def test_a_path_that_only_looks_like_the_route_is_a_404(gateway, key, path):
    answer = talk(gateway, request(key, path=path))
    assert statuses(answer) == [404]
    assert b"x-leak" not in answer.lower()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/r%65commendations", 200),
        ("/v1%2frecommendations", 200),
        (f"https://elsewhere.example:99{PATH}?explain=true", 200),
        (f"{PATH}%3Abatch", 422),  # as a page, which it is no body of
        (f"https://elsewhere.example{PAGE}", 422),
    ],
)
def test_another_spelling_of_the_route_needs_the_same_key(gateway, key, path, status):
    assert statuses(talk(gateway, request(key, path=path))) == [status]
    assert statuses(talk(gateway, request("omk_wrong", path=path))) == [401]


@pytest.mark.parametrize("path", [PATH, PAGE])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"])
def test_another_method_is_a_405_that_names_the_one(gateway, key, path, method):
    answer = talk(gateway, request(key, "X-HTTP-Method-Override: POST", path=path, method=method))
    assert statuses(answer) == [405]
    assert b"\r\nallow: POST\r\n" in answer


@pytest.mark.parametrize("method", ["post", "FOO", "CONNECT"])
def test_what_is_no_method_is_a_400(gateway, key, method):
    assert statuses(talk(gateway, request(key, method=method))) == [400]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (["Authorization: Bearer omk_other"], 401),  # a proxy before us may have looked at this one only
        (["X-Original-URL: /admin/v1/items", "X-Rewrite-URL: /livez", "X-Forwarded-Prefix: /admin"], 200),
        (["Content-Length: 3"], 400),
        ([f"Content-Length: {len(BODY)}"], 400),
        (["Omakase-Timeout-Ms: 10", "Omakase-Timeout-Ms: soon"], 422),
        (["Omakase-Timeout-Ms: \xb2"], 422),
        (["Omakase-Override: \xff\xfe"], 403),
        (["Idempotency-Key:"], 422),
        (["Idempotency-Key: " + "x" * 256], 422),
        (["Idempotency-Key: \xff\xfe"], 200),
        (["Content-Encoding: gzip"], 415),
        (["Content-Encoding: identity"], 200),
        (["Content-Type: text/plain"], 200),
    ],
)
def test_a_header_that_is_odd_or_sent_twice_changes_nothing_or_is_refused(gateway, key, fields, status):
    assert statuses(talk(gateway, request(key, *fields))) == [status]


def test_a_key_that_comes_second_opens_nothing(gateway, key):
    assert statuses(talk(gateway, request("omk_wrong", f"Authorization: Bearer {key}"))) == [401]
    assert statuses(talk(gateway, request(key, f"Authorization: Bearer {key}"))) == [401]


def test_a_compressed_body_is_refused_by_name(gateway, key):
    answer = talk(gateway, request(key, "Content-Encoding: gzip", body=gzip.compress(BODY)))
    assert b"Content-Encoding: send the body as it is" in answer


@pytest.mark.parametrize(
    ("sent", "status", "is_echoed"),
    [
        ("order-0001", 200, True),
        ("order-0001%0d%0aSet-Cookie:a=b", 200, False),
        ("order-0001\u00e5\u0098\u008a\u00e5\u0098\u008dSet-Cookie: a=b", 200, False),  # a newline where UTF-8 is cut
        ("order-0001\tSet-Cookie: a=b", 200, False),
        ("<script>alert(1)</script>", 200, False),
        ("o" * 65, 200, False),
        ("order-0001\rSet-Cookie: a=b", 400, False),
        ("order-0001\nSet-Cookie: a=b", 400, False),
        ("order-0001\r\n Set-Cookie: a=b", 400, False),
    ],
)
def test_a_request_id_comes_back_only_if_it_can_be_nothing_else(gateway, key, sent, status, is_echoed):
    answer = talk(gateway, request(key, f"X-Request-Id: {sent}"))
    assert statuses(answer) == [status]
    assert (b"\r\nx-request-id: order-0001\r\n" in answer) == is_echoed
    assert b"set-cookie" not in answer.lower()
    assert b"<script" not in answer


def test_a_body_in_chunks_is_taken_and_its_trailers_are_not_headers(gateway, key):
    chunked = request(key, "Transfer-Encoding: chunked", body=CHUNKED)
    assert statuses(talk(gateway, chunked)) == [200]
    trailed = request("omk_wrong", "Transfer-Encoding: chunked", body=CHUNKED[:-2])
    assert statuses(talk(gateway, trailed + f"Authorization: Bearer {key}\r\n\r\n".encode())) == [401]


def test_who_asks_before_he_sends_is_told_to_go_on_or_refused_at_once(gateway, key):
    assert statuses(talk(gateway, request(key, "Expect: 100-continue"))) == [100, 200]
    for who, length, status in ((key, 2_000_000, 413), ("omk_wrong", len(BODY), 401)):
        head = request(who, "Expect: 100-continue").replace(b"Length: %d" % len(BODY), b"Length: %d" % length)
        assert statuses(talk(gateway, head.removesuffix(BODY))) == [status]


def test_a_client_of_http_1_0_is_answered_and_its_connection_closed(gateway, key):
    assert statuses(talk(gateway, request(key, is_last=False).replace(b"HTTP/1.1", b"HTTP/1.0"))) == [200]


def test_requests_that_come_at_once_are_answered_in_turn_and_keep_apart(gateway, key):
    asked = [
        request(key, "X-Request-Id: request-one", is_last=False),
        request("omk_wrong", is_last=False),
        request(key, path="/v1/nothing", is_last=False),
        request(key, method="GET", is_last=False),
        request(key, "Transfer-Encoding: chunked", body=CHUNKED, is_last=False),
        request(key, body=b"{", is_last=False),
        request(key),
    ]
    answer = talk(gateway, b"".join(asked))
    assert statuses(answer) == [200, 401, 404, 405, 200, 400, 200]
    assert answer.count(b"request-one") == 1


@pytest.mark.parametrize(
    "fields", [["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"], ["Upgrade: websocket"]]
)
def test_a_client_that_would_rather_speak_another_protocol_is_answered_in_this_one(gateway, key, fields):
    wishing = request(key, "Connection: Upgrade", *fields, is_last=False)
    assert statuses(talk(gateway, wishing + request(key))) == [200, 200]
    chunked = request(key, "Connection: Upgrade", *fields, "Transfer-Encoding: chunked", body=CHUNKED, is_last=False)
    answer = talk(gateway, chunked + request(key))
    assert statuses(answer) == [200, 200]
    slate = json.loads(answer.rpartition(b"\r\n\r\n")[2])
    assert slate["placement"] == "home-top"
