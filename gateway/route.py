"""`POST /v1/recommendations` as plain ASGI: what a request costs here, every request costs.

FastAPI's routing, its stack of middleware and its serialising take several times as long as all that the gateway does
for a recommendation. So this one path is answered before them, on the same port and in the same OpenAPI document, with
the same limits and the same errors.
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import parse_qsl

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import metrics
from gateway.answers import Recommendation
from gateway.api import parse_request
from gateway.service import Gateway
from omakase.serving.http import failure, read_body

PATH = "/v1/recommendations"

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


class RecommendationsRoute:
    """Answers its own path, and leaves every other to `app`."""

    def __init__(self, app: ASGIApp, gateway: Gateway, max_body_bytes: int) -> None:
        self._app = app
        self._gateway = gateway
        self._max_body_bytes = max_body_bytes
        self._encode = msgspec.json.Encoder().encode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            body = self._encode(await self._answer(scope, receive))
        except Exception as error:
            await failure(error)(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Recommendation:
        try:
            explain = explain_of(scope["query_string"])
            request = parse_request(await read_body(scope, receive, self._max_body_bytes))
        except HTTPException as error:
            metrics.count("", "", "", str(error.status_code), "")
            raise
        except RequestValidationError:
            metrics.count("", "", "", "422", "")
            raise
        return await self._gateway.recommend(request, explain=explain)


def explain_of(query: bytes) -> bool:
    """Whether `?explain=true` was asked for. Raises: HTTPException 422 for what is neither true nor false."""
    if not query:
        return False
    asked = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)).get("explain", "false").lower()
    if asked not in _TRUE + _FALSE:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "explain: must be true or false")
    return asked in _TRUE
