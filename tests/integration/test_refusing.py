"""What no service should take: malformed requests, slow clients, floods, foreign pages. Refused, counted, and cheap."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from omakase.api_keys import Scope
from omakase.issuing import create_key, revoke_key
from tests.integration.stage import Stage, until
from tests.integration.till import Till

TIMEOUT_S = 1.0


@pytest.fixture(scope="module")
def till(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Till]:
    with Stage() as stage:
        running = Till(
            stage,
            tmp_path_factory.mktemp("till"),
            request_timeout_s=TIMEOUT_S,
            max_connections=20,
            max_body_bytes=100_000,
        )
        yield running
        running.close()


def connect(till: Till) -> socket.socket:
    return socket.create_connection(("127.0.0.1", till.port), timeout=10)


def talk(till: Till, *sent: bytes) -> bytes:
    """Everything that is answered until the connection is closed."""
    with connect(till) as sock:
        for part in sent:
            sock.sendall(part)
        return rest(sock)


def rest(sock: socket.socket) -> bytes:
    answer = b""
    try:
        while part := sock.recv(65_536):
            answer += part
    except ConnectionResetError:
        pass
    return answer


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3})", answer)]


def counted(reason: str) -> float:
    return REGISTRY.get_sample_value("omakase_refused_requests_total", {"reason": reason}) or 0.0


BODY = b'{"events": []}'
HEAD = b"POST /v1/events HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),  # a client that speaks TLS
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: a\rX-B: b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: a\nSet-Cookie: b\x00\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX A: a\r\n\r\n",
        b"GET /livez\r\nX HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"Content-Length: 14\r\nContent-Length: 15\r\n\r\n" + BODY,
        HEAD + b"Content-Length: 14\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY,
        HEAD + b"Content-Length: -1\r\n\r\n" + BODY,
        HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_one_400_and_a_closed_connection(till: Till, sent: bytes) -> None:
    before = counted("malformed")
    smuggled = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = talk(till, sent + smuggled)
    assert statuses(answer) == [400], answer
    assert b"omakase_" not in answer
    assert counted("malformed") == before + 1
    assert till.send("GET", "/livez")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../metrics/../admin/v1",
        "/v1/%2e%2e/%2e%2e/etc/passwd",
        "/v1/events/",
        "//v1/conversions",
        "/v1//conversions",
        "/V1/conversions",
        "/v1/conversions%00",
        "/v1/conversions;x=1",
        "/v1%2fconversions%2f",
        "/docs",
        "/redoc",
        "http://elsewhere.example/nothing",
    ],
)
def test_a_trick_with_the_path_is_a_404_and_leads_nowhere(till: Till, path: str) -> None:
    answer = talk(till, f"POST {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
    assert statuses(answer) in ([404], [405]), answer
    assert b"location:" not in answer
    assert b"evil.example" not in answer


def test_a_path_in_another_spelling_passes_the_same_door(till: Till) -> None:
    for path in ("/v1/conversions", "/v1/c%6fnversions", "http://elsewhere.example/v1/conversions"):
        answer = talk(till, f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert statuses(answer) == [401], path
        assert b"\r\nwww-authenticate: Bearer\r\n" in answer


def test_keys_that_are_wrong_revoked_or_of_another_scope_are_refused(till: Till) -> None:
    path = Path(till.settings.keys)
    revoked, app = create_key(path, "old", Scope.SERVER), create_key(path, "app", Scope.STOREFRONT)
    revoke_key(path, "old")
    for key, status, reason in (
        (revoked, 401, "revoked_key"),
        (app, 403, "scope"),
        ("omk_" + "x" * 43, 401, "wrong_key"),
    ):
        for url in ("/v1/conversions", "/v1/events"):
            before = counted(reason)
            found, answer = till.post(url, {"events": []}, {"Authorization": f"Bearer {key}"})
            assert (found, answer["status"]) == (status, status)
            assert key not in json.dumps(answer)
            assert counted(reason) == before + 1
    assert till.post("/v1/events", {"events": []}, till.server())[0] == 202


def test_a_key_above_its_rate_is_told_when_to_come_again(till: Till) -> None:
    key = create_key(Path(till.settings.keys), "limited", Scope.SERVER, rate=1, burst=3)
    headers = f"Authorization: Bearer {key}\r\nContent-Length: 14\r\n".encode()
    answer = talk(till, *[HEAD + headers + b"\r\n" + BODY] * 3, HEAD + headers + b"Connection: close\r\n\r\n" + BODY)
    assert statuses(answer) == [202, 202, 202, 429]
    assert b"retry-after: 1\r\n" in answer


def test_a_head_that_does_not_end_is_cut_off(till: Till) -> None:
    before = counted("head_too_large")
    with connect(till) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\n")
        try:
            for n in range(4000):
                sock.sendall(f"X-{n}: {'a' * 100}\r\n".encode())
        except OSError:
            pass
        assert statuses(rest(sock)) in ([431], [])  # a reset may overtake the answer
    assert counted("head_too_large") == before + 1


def test_trailers_that_do_not_end_are_cut_off(till: Till) -> None:
    before = counted("head_too_large")
    with connect(till) as sock:
        sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n")
        try:
            for n in range(4000):
                sock.sendall(f"X-{n}: {'a' * 100}\r\n".encode())
        except OSError:
            pass
        rest(sock)
    assert counted("head_too_large") == before + 1


def test_a_body_that_is_too_large_is_a_413_whether_announced_or_not(till: Till) -> None:
    announced = HEAD + b"Content-Length: 200000\r\nConnection: close\r\n\r\n"
    chunked = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + b"1000\r\n" + b"a" * 4096 + b"\r\n"
    assert statuses(talk(till, announced)) == [413]
    assert statuses(talk(till, chunked + b"20000\r\n" + b"a" * 131_072 + b"\r\n0\r\n\r\n")) == [413]


HANGING = [
    (b"", []),  # browsers connect ahead of time: there is nothing to tell them
    (b"\r\n" * 9, []),
    (b"POST /v1/events HT", [408]),
    (HEAD + b"Content-Length: 14\r\n\r\n{", [408]),
    (HEAD + b"Content-Length: 14\r\n\r\n" + BODY + b"GET /livez HT", [202, 408]),
    (HEAD + b"Content-Length: 999999\r\n\r\n{", [413]),  # it has its answer, and no second one
]


def test_clients_that_send_nothing_more_are_closed(till: Till) -> None:
    before = counted("slow")
    with ThreadPoolExecutor(len(HANGING)) as clients:
        answers = list(clients.map(lambda sent: statuses(talk(till, sent)), [sent for sent, _ in HANGING]))
    assert answers == [answered for _, answered in HANGING]
    assert counted("slow") - before == 3


def test_a_client_that_trickles_is_closed_and_others_are_served_meanwhile(till: Till) -> None:
    with connect(till) as slow:
        slow.sendall(HEAD + b"Content-Length: 5000\r\n\r\n")
        answered = 0

        def is_over() -> bool:
            nonlocal answered
            answered += till.send("GET", "/livez")[0] == 200
            try:
                slow.sendall(b"a")
            except OSError:
                return True
            return False

        until(is_over, "it is closed")
    assert answered > 5


def test_a_body_that_comes_slowly_but_surely_is_taken(till: Till) -> None:
    body = json.dumps({"events": []}).encode().ljust(60_000)
    with connect(till) as sock:
        sock.sendall(HEAD + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode())
        for start in range(0, len(body), 3_000):
            sock.sendall(body[start : start + 3_000])
            threading.Event().wait(0.15)  # 3 s in all, which is longer than the timeout
        assert statuses(rest(sock)) == [202]


def test_a_client_that_does_not_read_is_cut_off(till: Till) -> None:
    before = counted("slow")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(0.1)
        sock.connect(("127.0.0.1", till.port))

        def is_over() -> bool:
            try:
                sock.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            except TimeoutError:
                return False
            except OSError:
                return True
            return False

        until(is_over, "it is cut off")
    assert counted("slow") == before + 1


def test_connections_beyond_the_bound_are_told_so_and_places_come_free_again(till: Till) -> None:
    before = counted("connections")
    held = [connect(till) for _ in range(20)]
    try:
        until(lambda: statuses(talk(till, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")) == [503], "all places are taken")
        assert counted("connections") > before
    finally:
        for sock in held:
            sock.close()
    until(lambda: till.send("GET", "/livez")[0] == 200, "there is room again")


def test_a_flood_of_malformed_requests_writes_few_lines(till: Till, caplog: pytest.LogCaptureFixture) -> None:
    before = counted("malformed")
    with caplog.at_level(logging.DEBUG):
        for _ in range(100):
            talk(till, b"GET /secret-path HTTP/9.9\r\nX: secret-header\r\n\r\n")
    assert counted("malformed") == before + 100
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) < 10
    assert "secret" not in caplog.text
