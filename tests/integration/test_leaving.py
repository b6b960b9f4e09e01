"""How a server leaves: over real connections, and a listening socket that it shares with the next."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from omakase.serving.http import listen
from omakase.serving.leaving import LeavingServer
from tests.integration.stage import PATIENCE_S, Stage, until


class App:
    """Says a name; to `/slow` only once it may."""

    def __init__(self, name: str) -> None:
        self.name, self.slow_ones, self.may_answer = name, 0, asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            self.slow_ones += 1
            await self.may_answer.wait()
        body = self.name.encode()
        head = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


class Serving:
    def __init__(self, stage: Stage, name: str, sock: socket.socket) -> None:
        self.app = App(name)
        self.stage = stage
        # As a child process has it: a descriptor of its own of one socket.
        mine = socket.socket(fileno=socket.dup(sock.fileno()))
        self.server = LeavingServer(
            uvicorn.Config(self.app, log_config=None, lifespan="off", timeout_graceful_shutdown=5)
        )
        self.ended: Future[None] = stage.spawn(self.server.serve(sockets=[mine]))
        until(lambda: self.server.started, "it listens")

    def leave(self) -> None:
        self.server.should_exit = True
        until(lambda: not any(server.is_serving() for server in self.server.servers), "it has stopped listening")


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


@contextmanager
def connected(port: int) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        connection.connect()
        yield connection


def ask(connection: http.client.HTTPConnection, path: str = "/") -> tuple[int, str, str | None]:
    connection.request("GET", path)
    return answer(connection)


def answer(connection: http.client.HTTPConnection) -> tuple[int, str, str | None]:
    response = connection.getresponse()
    return response.status, response.read().decode(), response.getheader("connection")


def test_everybody_it_is_connected_with_is_answered_and_told_that_it_is_the_last(stage: Stage) -> None:
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        old = Serving(stage, "old", sock)
        with connected(port) as busy, connected(port) as kept, connected(port) as prober, connected(port) as idle:
            for connection in (kept, prober, idle):
                assert ask(connection) == (200, "old", None)
            busy.request("GET", "/slow")
            until(lambda: old.app.slow_ones == 1, "a request is in flight")
            old.leave()
            stage.soon(old.app.may_answer.set)
            assert answer(busy) == (200, "old", "close")
            assert ask(kept) == (200, "old", "close")
            status, _, last = ask(prober, "/readyz")
            assert (status, last) == (503, "close")
            assert idle.sock.recv(1) == b""
            old.ended.result(PATIENCE_S)


def test_it_waits_for_a_request_in_flight_longer_than_for_an_idle_connection(stage: Stage) -> None:
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        old = Serving(stage, "old", sock)
        with connected(port) as busy, connected(port) as idle:
            assert ask(idle) == (200, "old", None)
            busy.request("GET", "/slow")
            until(lambda: old.app.slow_ones == 1, "a request is in flight")
            old.leave()
            assert idle.sock.recv(1) == b""
            assert not old.ended.done()
            stage.soon(old.app.may_answer.set)
            assert answer(busy) == (200, "old", "close")
            old.ended.result(PATIENCE_S)


def test_who_connects_meanwhile_waits_for_the_next(stage: Stage) -> None:
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        old = Serving(stage, "old", sock)
        with connected(port) as kept:
            assert ask(kept) == (200, "old", None)
            old.leave()
            with connected(port) as early:
                early.request("GET", "/")
                old.ended.result(PATIENCE_S)
                following = Serving(stage, "new", sock)
                assert answer(early) == (200, "new", None)
        following.leave()
        following.ended.result(PATIENCE_S)
