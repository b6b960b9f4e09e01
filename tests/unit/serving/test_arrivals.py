"""What a request is called by its caller, and by whom else: through a real application, without a socket."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import Any

import pytest
from fastapi import FastAPI

from omakase.core.errors import NotFound, OmakaseError
from omakase.logs import CORRELATION_ID, new_handler
from omakase.serving.arrivals import Arrivals
from omakase.serving.http import install

CALL_ID = b"order-page_0123456789"


def new_app() -> Arrivals:
    app = FastAPI()
    install(app, 1000, lambda: True)

    @app.get("/fine")
    async def fine() -> str:
        return CORRELATION_ID.get()

    @app.get("/missing")
    async def missing() -> None:
        raise NotFound("no such thing")

    @app.get("/broken")
    async def broken() -> None:
        raise OmakaseError("a pipe has burst")

    return Arrivals(app)


def get(path: str, *headers: tuple[bytes, bytes]) -> tuple[int, dict[bytes, bytes], Any]:
    """As a server would call the application: each request in a context of its own."""
    scope = {"type": "http", "method": "GET", "path": path, "headers": list(headers), "query_string": b""}
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(new_app()(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])


def test_an_id_comes_back_in_a_header_and_in_an_error() -> None:
    assert get("/fine", (b"x-request-id", CALL_ID))[1][b"x-request-id"] == CALL_ID
    status, headers, problem = get("/missing", (b"x-request-id", CALL_ID))
    assert (status, headers[b"x-request-id"], problem["correlation_id"]) == (404, CALL_ID, CALL_ID.decode())


def test_without_one_nothing_is_added() -> None:
    for path in ("/fine", "/missing"):
        _, headers, body = get(path)
        assert b"x-request-id" not in headers
        assert "correlation_id" not in body


@pytest.mark.parametrize("sent", [b"ada@shop.example", b"x" * 65, b"short", b"two words here", b"line\r\nbreak-in-it"])
def test_what_does_not_look_like_an_id_is_not_repeated(sent: bytes) -> None:
    _, headers, problem = get("/missing", (b"x-request-id", sent))
    assert b"x-request-id" not in headers
    assert "correlation_id" not in problem


def test_a_failure_has_an_id_that_is_in_the_log_too() -> None:
    written = io.StringIO()
    log, handler = logging.getLogger("omakase.serving.http"), new_handler("gateway", "json", written)
    log.addHandler(handler)
    try:
        status, _, problem = get("/broken")
    finally:
        log.removeHandler(handler)
    assert status == 500
    assert problem["correlation_id"]
    assert json.loads(written.getvalue())["correlation_id"] == problem["correlation_id"]
