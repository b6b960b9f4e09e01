"""Orders over HTTP: what the shop's own server sold, to whom, without a delivery ID."""

from __future__ import annotations

from collections import Counter as Counts
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from pydantic_core import from_json

from omakase.ports.clock import Clock
from omakase.ports.orders import Order
from omakase.serving.openapi import inline_schema, problem_told
from tracking.api import ACCEPTED, REJECTED
from tracking.desk import OrderDesk
from tracking.door import Door
from tracking.events import EventsOut, Rejected, Rejection
from tracking.orders import OrderIn, OrderReader, OrdersIn

_EITHER = {"oneOf": [inline_schema(OrderIn.model_json_schema()), inline_schema(OrdersIn.model_json_schema())]}
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": _EITHER}}}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: problem_told("not JSON, or neither an order line nor an object with a list of them"),
    401: problem_told("no key, one that is not ours, or one that is revoked"),
    403: problem_told("a key that is not of scope server"),
    413: problem_told("the body is too large"),
    415: problem_told("a compressed body"),
    422: problem_told("too many order lines in one body"),
    429: problem_told("more often than the key may; again after Retry-After"),
    503: problem_told("the orders could not be stored; send them again after Retry-After"),
}


def add_conversions(
    app: FastAPI, desk: OrderDesk, reader: OrderReader, door: Door, clock: Clock, *, max_orders: int
) -> None:
    """Give tracking's app its route for orders."""

    @app.post("/v1/conversions", status_code=202, response_model=EventsOut, openapi_extra=_BODY, responses=_PROBLEMS)
    async def post_conversions(request: Request) -> Response:
        """Accept what was bought or returned. Needs a key of scope server.

        A 202 means: the accepted lines survive the death of every process. Each is attributed to the person's last
        click of its item, else the last impression, within the attribution window.
        """
        door.server(request)
        sent = _lines(await request.body(), max_orders)
        orders, rejected = _read(reader, sent, clock.now())
        if orders:
            await desk.accept(orders)
        for kind, count in Counts(order.type for order in orders).items():
            ACCEPTED.labels(kind).inc(count)
        answer = EventsOut(accepted=len(orders), rejected=rejected).model_dump_json()
        return Response(answer, HTTPStatus.ACCEPTED, media_type="application/json")


def _read(reader: OrderReader, sent: list[object], now: float) -> tuple[list[Order], list[Rejection]]:
    orders, rejected = [], []
    for index, raw in enumerate(sent):
        try:
            orders.append(reader.read(raw, now))
        except Rejected as fault:
            REJECTED.labels(fault.reason).inc()
            rejected.append(Rejection(index=index, reason=fault.reason, detail=fault.detail))
    return orders, rejected


def _lines(body: bytes, max_orders: int) -> list[object]:
    """The lines of a body, which may be one line without a list around it. Raises: HTTPException."""
    try:
        sent = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"the body is not JSON in UTF-8: {error}") from None
    if isinstance(sent, dict) and "conversions" not in sent:
        return [sent]
    if not isinstance(sent, dict) or not isinstance(sent["conversions"], list) or len(sent) > 1:
        raise HTTPException(
            HTTPStatus.BAD_REQUEST, 'the body must be one order line, or {"conversions": [...]} and nothing else'
        )
    lines: list[object] = sent["conversions"]
    if len(lines) > max_orders:
        raise HTTPException(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{len(lines)} lines in one body: send at most {max_orders} at a time"
        )
    return lines
