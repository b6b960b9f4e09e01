"""The load generator, on which every figure over HTTP stands."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator

import pytest

from benchmarks.connection import request
from benchmarks.load import run

SLATE = {"items": [{"delivery_id": "x"}] * 10, "fallback": False}
ANSWERS = {
    "good": (200, SLATE),
    "short": (200, {**SLATE, "items": SLATE["items"][:9]}),
    "fallback": (200, {**SLATE, "fallback": True}),
    "error": (503, {}),
    "fresh": (200, SLATE),
    "last": (200, SLATE),
}


class Answering(socketserver.StreamRequestHandler):
    """Answers by what the body says; the head and the body in pieces."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        is_first = True
        while line := self.rfile.readline():
            length = 0
            while line.strip():
                length = int(line.split()[1]) if line.lower().startswith(b"content-length:") else length
                line = self.rfile.readline()
            asked = json.loads(self.rfile.read(length))
            if asked["wants"] == "drop" or (asked["wants"] == "fresh" and not is_first):
                return
            is_first = False
            status, answer = ANSWERS[asked["wants"]]
            body = json.dumps(answer | {"number": asked["number"]}, separators=(",", ":")).encode()
            last = b"Connection: close\r\n" * (asked["wants"] == "last")
            self.wfile.write(b"HTTP/1.1 %d\r\nX-Other: 1\r\n%sContent-Le" % (status, last))
            self.wfile.write(b"ngth: %d\r\n\r\n" % len(body) + body[:3])
            self.wfile.write(body[3:])


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def asks(url: str, *wants: str) -> list[bytes]:
    return [
        request(url, "/", json.dumps({"wants": want, "number": number}).encode()) for number, want in enumerate(wants)
    ]


def test_each_request_is_sent_once_and_its_answer_read_whole(url):
    load = run(url, asks(url, *["good"] * 100), connections=4, items=10, keep_bodies=True)
    assert sorted(json.loads(body)["number"] for body in load.bodies) == list(range(100))
    assert (load.answers, load.errors, load.short, load.fallbacks) == (100, 0, 0, 0)


def test_errors_short_slates_and_fallbacks_are_told_apart(url):
    load = run(url, asks(url, "good", "short", "error", "fallback", "error", "good"), connections=2, items=10)
    assert (load.answers, load.errors, load.short, load.fallbacks) == (6, 2, 1, 1)


def test_a_request_whose_connection_is_closed_is_an_error_and_the_rest_goes_on(url):
    load = run(url, asks(url, "good", "drop", "good", "drop", "good"), connections=1, items=10)
    assert (load.answers, load.errors) == (3, 2)


def test_a_request_over_a_kept_connection_that_is_closed_is_sent_again_once_and_counted(url):
    load = run(url, asks(url, "good", "fresh", "good", "drop"), connections=1, items=10)
    assert (load.answers, load.errors, load.resent) == (3, 1, 2)


def test_nothing_is_sent_over_a_connection_whose_answer_was_the_last(url):
    load = run(url, asks(url, "last", "fresh", "last", "fresh"), connections=1, items=10)
    assert (load.answers, load.errors, load.resent) == (4, 0, 0)


def test_it_goes_round_until_the_time_is_over(url):
    load = run(url, asks(url, "good"), connections=2, seconds=0.2, items=10)
    assert load.answers > 2
    assert 0.2 <= load.elapsed_s < 5
    assert load.errors == 0


def test_by_the_clock_as_many_are_sent_as_are_due(url):
    load = run(url, asks(url, "good"), connections=4, seconds=0.5, rate=200, even=True, items=10)
    assert load.answers == pytest.approx(100, abs=1)
    random = run(url, asks(url, "good"), connections=4, seconds=0.5, rate=200, items=10)
    assert 50 < random.answers < 150


def test_waiting_for_a_free_connection_counts_as_latency(url):
    load = run(url, asks(url, "good"), connections=1, seconds=0.0005, rate=200_000, even=True, items=10)
    assert load.answers >= 99
    assert load.percentile(0.99) > 0.9 * load.elapsed_s
    assert load.percentile(0.5) > 0.3 * load.elapsed_s
