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
from gateway.admission import Admission
from gateway.answers import Recommendation
from gateway.api import parse_request
from gateway.service import Gateway
from omakase.core.errors import Overloaded, Refused
from omakase.serving.access import Gate
from omakase.serving.http import failure, read_body, status_of

PATH = "/v1/recommendations"

# Made once: the more of these are given, the less time there is for them.
_BUSY = failure(Overloaded("more requests at once than are answered in time: try again", retry_after_s=1.0))
_TIMEOUT_DIGITS = 9
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


class RecommendationsRoute:
    """Answers its own path, and leaves every other to `app`."""

    def __init__(self, app: ASGIApp, gateway: Gateway, gate: Gate, max_body_bytes: int, max_requests: int) -> None:
        self._app = app
        self._gateway = gateway
        self._gate = gate
        self._max_body_bytes = max_body_bytes
        self._admission = Admission(max_requests)
        self._encode = msgspec.json.Encoder().encode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if not self._admission.enter():
            metrics.count("", "", "", "503", "")
            await _BUSY(scope, receive, send)
            return
        try:
            body = self._encode(await self._answer(scope, receive))
        except Exception as error:
            await failure(error)(scope, receive, send)
            return
        finally:
            self._admission.leave()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Recommendation:
        try:
            key = self._gate.admit(scope["headers"])
            explain = explain_of(scope["query_string"])
            override = override_of(scope["headers"])
            timeout_s = timeout_of(scope["headers"])
            request = parse_request(await read_body(scope, receive, self._max_body_bytes))
            self._gate.check(key, request.placement)  # before the placement is looked for: names are not told either
        except Refused as error:
            metrics.count("", "", "", str(status_of(error).value), "")
            raise
        except HTTPException as error:
            metrics.count("", "", "", str(error.status_code), "")
            raise
        except RequestValidationError:
            metrics.count("", "", "", "422", "")
            raise
        return await self._gateway.recommend(request, explain=explain, override=override, timeout_s=timeout_s)


def override_of(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The signed permission to see one variant, as it was sent; see `omakase.core.overrides`."""
    return next((value.decode("latin-1") for name, value in headers if name == b"omakase-override"), None)


def timeout_of(headers: list[tuple[bytes, bytes]]) -> float | None:
    """How long the caller will wait for a recommender's slate, in seconds, if it says so.

    Raises: HTTPException 422 for what is no whole number of milliseconds.
    """
    sent = next((value for name, value in headers if name == b"omakase-timeout-ms"), None)
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
