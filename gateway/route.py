"""`POST /v1/recommendations` as plain ASGI: what a request costs here, every request costs.

FastAPI's routing, its stack of middleware and its serialising take several times as long as all that the gateway does
for a recommendation. So this one path is answered before them, on the same port and in the same OpenAPI document, with
the same limits and the same errors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import parse_qsl

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import metrics
from gateway.admission import Admission
from gateway.answers import Page, Recommendation
from gateway.api import PageRequest, RecommendationRequest, parse
from gateway.idempotency import Answers
from gateway.service import Gateway, Terms
from omakase.api_keys import ApiKey
from omakase.core.errors import Overloaded, Refused
from omakase.serving.access import Gate
from omakase.serving.http import failure, failure_status, read_body

PATH = "/v1/recommendations"
PAGE_PATH = "/v1/recommendations:batch"

Asked: TypeAlias = Callable[[], Awaitable[Recommendation | Page]]
# Raises what is to be told of a body that does not fit, or a key that does not open it.
Work: TypeAlias = Callable[[ApiKey, bytes, Terms], Asked]

_TIMEOUT_DIGITS = 9
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


class RecommendationsRoute:
    """Answers its own paths, and leaves every other to `app`."""

    def __init__(self, app: ASGIApp, gateway: Gateway, gate: Gate, max_body_bytes: int, max_requests: int) -> None:
        self._app = app
        self._gateway = gateway
        self._gate = gate
        self._max_body_bytes = max_body_bytes
        self._admission = admission = Admission(max_requests)
        metrics.IN_FLIGHT.set_function(lambda: admission.in_flight)
        self._repeated = Answers()
        self._encode = msgspec.json.Encoder().encode
        self._work = {PATH: self._recommend, PAGE_PATH: self._page}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = self._work.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if work is None:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._answer(work, scope, receive)
        except Exception as error:
            await failure(error)(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, work: Work, scope: Scope, receive: Receive) -> bytes:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            key = self._gate.admit(scope["headers"])
            terms = Terms(explain_of(scope["query_string"]), override_of(headers), timeout_of(headers))
            body = await read_body(scope, receive, self._max_body_bytes)
            if not self._admission.enter() and not await self._admission.wait():
                raise Overloaded("more requests at once than are answered in time: try again", retry_after_s=1.0)
        except (Refused, HTTPException, Overloaded) as error:
            metrics.count("", "", "", str(failure_status(error).value), "")  # the gateway counts its own
            raise
        try:
            return await self._work_on(work, scope, headers, (key, body, terms))
        finally:
            self._admission.leave()

    async def _work_on(
        self, work: Work, scope: Scope, headers: Mapping[bytes, bytes], given: tuple[ApiKey, bytes, Terms]
    ) -> bytes:
        key, body, _ = given
        try:
            asked = work(*given)
        except (Refused, RequestValidationError, HTTPException) as error:
            metrics.count("", "", "", str(failure_status(error).value), "")
            raise
        repeated = headers.get(b"idempotency-key")
        if repeated is None:
            return self._encode(await asked())

        async def make() -> bytes:
            return self._encode(await asked())

        said = b"\0".join((scope["path"].encode(), scope["query_string"], body))
        return await self._repeated.of((key.name, repeated), said, make)

    def _recommend(self, key: ApiKey, body: bytes, terms: Terms) -> Asked:
        request = parse(RecommendationRequest, body)
        self._gate.check(key, request.placement)  # before the placement is looked for: names are not told either
        return partial(self._gateway.recommend, request, terms)

    def _page(self, key: ApiKey, body: bytes, terms: Terms) -> Asked:
        page = parse(PageRequest, body)
        for wish in page.slates:
            self._gate.check(key, wish.placement)
        self._gate.charge(key, len(page.slates) - 1)
        return partial(self._gateway.page, page, terms)


def override_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The signed permission to see one variant, as it was sent; see `omakase.core.overrides`."""
    sent = headers.get(b"omakase-override")
    return None if sent is None else sent.decode("latin-1")


def timeout_of(headers: Mapping[bytes, bytes]) -> float | None:
    """How long the caller will wait for a recommender's slate, in seconds, if it says so.

    Raises: HTTPException 422 for what is no whole number of milliseconds.
    """
    sent = headers.get(b"omakase-timeout-ms")
    if sent is None:
        return None
    if not sent.isdigit() or len(sent) > _TIMEOUT_DIGITS or int(sent) == 0:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "Omakase-Timeout-Ms: must be whole milliseconds, from 1")
    return int(sent) / 1000


def explain_of(query: bytes) -> bool:
    """Whether `?explain=true` was asked for. Raises: HTTPException 422 for what is neither true nor false."""
    if not query:
        return False
    asked = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)).get("explain", "false").lower()
    if asked not in _TRUE + _FALSE:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "explain: must be true or false")
    return asked in _TRUE
