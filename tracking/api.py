"""Tracking over HTTP: batches of events, and a pixel for mails and pages without scripts."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections import Counter as Counts
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from prometheus_client import Counter
from pydantic_core import from_json

from omakase import __version__
from omakase.core.events import Event
from omakase.ports.clock import Clock
from omakase.serving.http import install, problem
from omakase.serving.openapi import inline_schema, problem_told
from tracking.door import OPEN, Door
from tracking.events import EventsIn, EventsOut, Reader, Rejected, Rejection
from tracking.intake import Intake

ACCEPTED = Counter("omakase_events_accepted", "Events answered with 202 and stored", ["type"])
REJECTED = Counter("omakase_events_rejected", "Events refused at the door", ["reason"])

# How many events are read before others have their turn, and how many commas and opening brackets an event has at most.
_TURN = 100
_MAX_PARTS = 20
_GIF = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_EVENTS = inline_schema(EventsIn.model_json_schema())
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": _EVENTS}}}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: problem_told("not JSON, or not an object with a list of events"),
    401: problem_told("a key that is not ours, or is revoked"),
    403: problem_told("a key that is not of scope server"),
    413: problem_told("the body is too large"),
    415: problem_told("a compressed body"),
    422: problem_told("too many events in one body"),
    429: problem_told("more often than the key may; again after Retry-After"),
    503: problem_told("the events could not be stored; send them again after Retry-After"),
}
_OF_PIXEL: dict[int | str, dict[str, Any]] = {
    **{status: _PROBLEMS[status] for status in (401, 403, 429, 503)},
    422: problem_told("an event that cannot be accepted"),
    200: {"content": {"image/gif": {}}},
}


def create_app(
    intake: Intake,
    reader: Reader,
    clock: Clock,
    *,
    max_events: int,
    max_body_bytes: int,
    is_ready: Callable[[], bool],
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    door: Door = OPEN,
) -> FastAPI:
    """The HTTP side of tracking."""
    app = FastAPI(title="Omakase tracking", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    install(app, max_body_bytes, is_ready)

    async def accept(events: list[Event]) -> None:
        if events:
            await intake.accept(events)
        for kind, count in Counts(event.type for event in events).items():
            ACCEPTED.labels(kind).inc(count)

    @app.post("/v1/events", status_code=202, response_model=EventsOut, openapi_extra=_BODY, responses=_PROBLEMS)
    async def post_events(request: Request) -> Response:
        """Accept what people did. A 202 means: the accepted events survive the death of every process.

        Any content type will do, so that `navigator.sendBeacon` works. Events may come before their delivery is known.
        """
        caller = door.caller(request)
        sent = _events(await request.body(), max_events)
        events, rejected = await _read(reader, sent, clock.now(), by_server=caller.by_server)
        await accept(door.judge(events, caller))
        answer = EventsOut(accepted=len(events), rejected=rejected).model_dump_json()
        return Response(answer, HTTPStatus.ACCEPTED, media_type="application/json")

    @app.get("/v1/pixel.gif", response_class=Response, responses=_OF_PIXEL)
    async def get_pixel(
        request: Request,
        d: Annotated[str, Query(description="delivery_id")],
        t: Annotated[str, Query(description="type")] = "impression",
    ) -> Response:
        """Accept one event by an image. The event's time is when the image is asked for."""
        caller = door.caller(request)
        try:
            event = reader.read({"delivery_id": d, "type": t}, clock.now())
        except Rejected as fault:
            REJECTED.labels(fault.reason).inc()
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{fault.reason}: {fault.detail}")
        await accept(door.judge([event], caller))
        return Response(_GIF, media_type="image/gif")

    return app


async def _read(
    reader: Reader, sent: list[object], now: float, *, by_server: bool
) -> tuple[list[Event], list[Rejection]]:
    events, rejected = [], []
    for index, raw in enumerate(sent):
        if index % _TURN == _TURN - 1:
            await asyncio.sleep(0)  # other requests wait on this loop
        try:
            events.append(reader.read(raw, now, by_server=by_server))
        except Rejected as fault:
            REJECTED.labels(fault.reason).inc()
            rejected.append(Rejection(index=index, reason=fault.reason, detail=fault.detail))
    return events, rejected


def _events(body: bytes, max_events: int) -> list[object]:
    # Counted before it is parsed, which holds the loop: a megabyte of brackets makes half a million objects.
    parts = sum(map(body.count, b",[{"))
    if parts > _MAX_PARTS * max_events:
        raise HTTPException(
            HTTPStatus.BAD_REQUEST,
            f"{parts} commas and opening brackets in one body, more than {max_events} events have: send less at a time",
        )
    try:
        sent = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"the body is not JSON in UTF-8: {error}") from None
    if not isinstance(sent, dict) or not isinstance(sent.get("events"), list) or len(sent) > 1:
        raise HTTPException(HTTPStatus.BAD_REQUEST, 'the body must be {"events": [...]} and nothing else')
    events: list[object] = sent["events"]
    if len(events) > max_events:
        raise HTTPException(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{len(events)} events in one body: send at most {max_events} at a time"
        )
    return events
