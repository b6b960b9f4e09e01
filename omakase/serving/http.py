"""HTTP at the edge: one way to fail, one way to start, drain and stop."""

from __future__ import annotations

import json
import logging
import signal
import socket
from collections.abc import Callable, Collection
from errno import EADDRNOTAVAIL
from http import HTTPStatus
from math import ceil
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from omakase.core.errors import (
    Conflict,
    Forbidden,
    InvalidConfig,
    InvalidInput,
    NotFound,
    OmakaseError,
    Overloaded,
    TooFrequent,
    Unauthorized,
    Unavailable,
)
from omakase.logs import CORRELATION_ID, correlate
from omakase.serving.arrivals import Arrivals
from omakase.serving.connections import GuardedServer
from omakase.serving.openapi import problem_told, tell_own_errors
from omakase.serving.refusals import Refusals
from omakase.serving.tls import Pair
from omakase.settings import HttpSettings

log = logging.getLogger(__name__)

# Which status each error of the core has at this edge; the first match counts.
STATUS: tuple[tuple[type[OmakaseError], HTTPStatus], ...] = (
    (NotFound, HTTPStatus.NOT_FOUND),
    (InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Unauthorized, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (TooFrequent, HTTPStatus.TOO_MANY_REQUESTS),
    (Conflict, HTTPStatus.CONFLICT),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (OmakaseError, HTTPStatus.INTERNAL_SERVER_ERROR),
)

# On every answer. None may be kept by caches, or taken for a page: what is shown to one person is not for another.
HEADERS = [
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
]
HSTS = ("strict-transport-security", "max-age=31536000")
_COMPRESSED = "Content-Encoding: send the body as it is, not compressed"
CORS_METHODS = ["GET", "POST"]
CORS_HEADERS = ["Authorization", "Content-Type", "Idempotency-Key"]


def problem(status: int, detail: str, errors: list[dict[str, str]] | None = None, retry_after_s: float = 0) -> Response:
    """An error as RFC 9457 puts it. It echoes no values: they may be personal, or no valid JSON; but for an ID."""
    body: dict[str, object] = {"title": HTTPStatus(status).phrase, "status": int(status), "detail": detail}
    if errors:
        body["errors"] = errors
    if correlation_id := CORRELATION_ID.get():
        body["correlation_id"] = correlation_id
    headers = {}
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers["Retry-After"] = str(max(1, ceil(retry_after_s)))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(json.dumps(body), status, headers, media_type="application/problem+json")


def status_of(error: OmakaseError) -> HTTPStatus:
    """What an error of the core is at this edge."""
    return next(status for kind, status in STATUS if isinstance(error, kind))


def failure_status(error: Exception) -> HTTPStatus:
    """The status of the `failure` that an error becomes."""
    if isinstance(error, HTTPException):
        return HTTPStatus(error.status_code)
    if isinstance(error, RequestValidationError):
        return HTTPStatus.BAD_REQUEST if _no_json(error) else HTTPStatus.UNPROCESSABLE_ENTITY
    return status_of(error) if isinstance(error, OmakaseError) else HTTPStatus.INTERNAL_SERVER_ERROR


def failure(error: Exception) -> Response:
    """The answer that an error becomes, for a route that is answered before the app's own handlers. Raises: others."""
    if isinstance(error, RequestValidationError):
        return _validation_problem(error)
    if isinstance(error, HTTPException):
        return _http_problem(error)
    if isinstance(error, OmakaseError):
        return _omakase_problem(error)
    if isinstance(error, ClientDisconnect):
        return problem(HTTPStatus.BAD_REQUEST, "the body ended early")  # nobody is there to read it
    correlate()
    log.error("a request failed", exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something failed here; it has been logged")


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    """The body of a request.

    Raises: HTTPException 413 as soon as it is too long, 415 for a compressed one; ClientDisconnect.
    """
    too_large = HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _explain(max_bytes))
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > max_bytes:
            raise too_large
        if name == b"content-encoding" and value != b"identity":
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, _COMPRESSED)
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body") or b""
        if len(body) > max_bytes:
            raise too_large
        if not message.get("more_body", False):
            return body


def install(
    app: FastAPI, max_body_bytes: int, is_ready: Callable[[], bool], streamed: Collection[str] = frozenset()
) -> None:
    """Give an app its error answers, its body limit, and `/livez`, `/readyz` and `/metrics`.

    `streamed` are paths whose bodies have no limit, for they are never held as a whole.
    """
    for kind in (RequestValidationError, HTTPException, OmakaseError, ClientDisconnect):
        app.add_exception_handler(kind, _on_error)
    app.router.redirect_slashes = False  # a redirect would lead wherever the Host header says
    app.add_middleware(BodyLimit, max_bytes=max_body_bytes, streamed=streamed)
    tell_own_errors(app)
    unready = problem_told("Starting or draining")

    @app.get("/livez", tags=["operations"], summary="The loop turns")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", tags=["operations"], summary="Ready to serve, and nobody is draining", responses={503: unready})
    async def readyz() -> Response:
        if is_ready():
            return Response('{"status":"ready"}', media_type="application/json")
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "starting or draining", retry_after_s=1)

    @app.get(
        "/metrics",
        tags=["operations"],
        summary="Prometheus metrics",
        response_class=Response,
        responses={200: {"content": {CONTENT_TYPE_LATEST: {}}}},
    )
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class BodyLimit:
    """Refuses a body above `max_bytes` with 413: by its announced length, else as soon as it has grown so far.

    Bodies to `streamed` paths may be of any length. A compressed body is a 415 everywhere.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, streamed: Collection[str] = frozenset()) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if headers.get(b"content-encoding", b"identity") != b"identity":
            await problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, _COMPRESSED)(scope, receive, send)
            return
        if scope["path"] in self._streamed:
            await self._app(scope, receive, send)
            return
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            too_large = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _explain(self._max_bytes))
            await too_large(scope, receive, send)
            return
        await self._app(scope, self._counting(receive), send)

    def _counting(self, receive: Receive) -> Receive:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _explain(self._max_bytes))
            return message

        return counted


async def serve(app: ASGIApp, settings: HttpSettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight within `drain_s`.

    The app's lifespan starts and stops what belongs to it. With `http_fd` the listening socket is the supervisor's,
    so that connections made while this process is away wait instead of failing.
    """
    # uvicorn stops for a signal and then raises it again; without this the process would die of it, exit code -15.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    await new_server(app, settings, Refusals()).serve(sockets=[listening_socket(settings)])


def new_server(app: ASGIApp, settings: HttpSettings, refusals: Refusals) -> uvicorn.Server:
    """What `serve` runs. Raises: InvalidConfig for a certificate that cannot be used."""
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise InvalidConfig(["OMAKASE_TLS_CERTIFICATE, OMAKASE_TLS_KEY: give both or none"])
    has_tls = settings.tls_certificate is not None
    config = uvicorn.Config(
        Arrivals(_with_cors(app, settings.origins())),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        headers=[*HEADERS, HSTS] if has_tls else HEADERS,
        proxy_headers=False,  # else who connects from this machine may name any address; tracking has a setting for it
        timeout_graceful_shutdown=int(settings.drain_s),
        backlog=2048,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    return GuardedServer(
        config,
        request_timeout_s=settings.request_timeout_s,
        max_connections=settings.max_connections,
        refusals=refusals,
        certificate=Pair(Path(settings.tls_certificate or ""), Path(settings.tls_key or "")) if has_tls else None,
    )


def _with_cors(app: ASGIApp, origins: list[str]) -> ASGIApp:
    """No cookies are taken, so that pages elsewhere can do nothing in a person's name that they could not do anyway."""
    if not origins:
        return app
    return CORSMiddleware(
        app, allow_origins=origins, allow_methods=CORS_METHODS, allow_headers=CORS_HEADERS, max_age=86_400
    )


def _exit(*_: object) -> None:
    raise SystemExit(0)


def listening_socket(settings: HttpSettings) -> socket.socket:
    """The inherited socket, or a new one at `http_address`."""
    if settings.http_fd is not None:
        return socket.socket(fileno=settings.http_fd)
    host, _, port = settings.http_address.rpartition(":")
    return listen(host, int(port))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that a child may inherit. Raises: Unavailable if the port is taken, or not for us."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host.strip("[]"), port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        what = "host" if isinstance(error, socket.gaierror) or error.errno == EADDRNOTAVAIL else "port"
        raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror}; choose another {what}") from error
    sock.set_inheritable(True)
    return sock


async def _on_error(_: Request, error: Exception) -> Response:
    return failure(error)


def _no_json(error: RequestValidationError) -> str:
    """What keeps a body from being JSON, by FastAPI's account; empty if it is, whatever it says."""
    fault = error.errors()[0]
    return f"{fault['ctx']['error']}, at character {fault['loc'][-1]}" if fault.get("type") == "json_invalid" else ""


def _validation_problem(error: RequestValidationError) -> Response:
    if told := _no_json(error):
        return problem(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {told}")
    faults = [
        {"field": ".".join(str(part) for part in fault["loc"] if part != "body"), "message": str(fault["msg"])}
        for fault in error.errors()
    ]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "the request does not fit; see errors", faults)


def _http_problem(error: HTTPException) -> Response:
    answer = problem(error.status_code, str(error.detail), retry_after_s=1)
    answer.headers.update(error.headers or {})
    return answer


def _omakase_problem(error: OmakaseError) -> Response:
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        correlate()
        log.error("request failed: %s", error)
    retry_after_s = error.retry_after_s if isinstance(error, (Overloaded, TooFrequent)) else 1
    return problem(status, str(error), retry_after_s=retry_after_s)


def _explain(max_bytes: int) -> str:
    return f"the body is larger than {max_bytes} bytes: send less at a time"
