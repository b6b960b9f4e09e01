"""Tracking over HTTP: batches of events, and a pixel for mails and pages without scripts."""

from __future__ import annotations

from base64 import b64decode
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
from omakase.serving.http import inline_schema, install, problem
from tracking.events import EventsIn, EventsOut, Reader, Rejected, Rejection
from tracking.intake import Intake

ACCEPTED = Counter("omakase_events_accepted", "Events answered with 202 and stored", ["type"])
REJECTED = Counter("omakase_events_rejected", "Events refused at the door", ["reason"])

_GIF = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": inline_schema(EventsIn)}}}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"description": "not JSON, or not an object with a list of events"},
    413: {"description": "the body is too large"},
    422: {"description": "too many events in one body, or a pixel's event that cannot be accepted"},
    503: {"description": "the events could not be stored; send them again after Retry-After"},
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
) -> FastAPI:
    """The HTTP side of tracking."""
    app = FastAPI(title="Omakase tracking", version=__version__, lifespan=lifespan)
    install(app, max_body_bytes, is_ready)

    async def accept(events: list[Event]) -> None:
        if events:
            await intake.accept(events)
        for event in events:
            ACCEPTED.labels(event.type).inc()

    @app.post("/v1/events", status_code=202, response_model=EventsOut, openapi_extra=_BODY, responses=_PROBLEMS)
    async def post_events(request: Request) -> Response:
        """Accept what people did. A 202 means: the accepted events survive the death of every process.

        Any content type will do, so that `navigator.sendBeacon` works. Events may come before their delivery is known.
        """
        events, rejected = _read(reader, _events(await request.body(), max_events), clock.now())
        await accept(events)
        answer = EventsOut(accepted=len(events), rejected=rejected).model_dump_json()
        return Response(answer, HTTPStatus.ACCEPTED, media_type="application/json")

    @app.get("/v1/pixel.gif", response_class=Response, responses={**_PROBLEMS, 200: {"content": {"image/gif": {}}}})
    async def get_pixel(
        d: Annotated[str, Query(description="delivery_id")],
        t: Annotated[str, Query(description="type")] = "impression",
    ) -> Response:
        """Accept one event by an image. The event's time is when the image is asked for."""
        try:
            event = reader.read({"delivery_id": d, "type": t}, clock.now())
        except Rejected as fault:
            REJECTED.labels(fault.reason).inc()
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{fault.reason}: {fault.detail}")
        await accept([event])
        return Response(_GIF, media_type="image/gif", headers={"Cache-Control": "no-store"})

    return app


def _read(reader: Reader, sent: list[object], now: float) -> tuple[list[Event], list[Rejection]]:
    events, rejected = [], []
    for index, raw in enumerate(sent):
        try:
            events.append(reader.read(raw, now))
        except Rejected as fault:
            REJECTED.labels(fault.reason).inc()
            rejected.append(Rejection(index=index, reason=fault.reason, detail=fault.detail))
    return events, rejected


def _events(body: bytes, max_events: int) -> list[object]:
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
