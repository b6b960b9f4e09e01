"""Whatever is posted to tracking: an answer that says what is wrong, never a fault, and nothing stored of the bad."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.delivery_store import SqliteDeliveryStore
from omakase.adapters.local.event_log import SqliteEventLog
from omakase.wire import SpooledSlate, encode_slate
from tests.integration.stage import KEYRING, START, Stage
from tests.integration.test_tracking import new_slate
from tracking.api import create_app
from tracking.events import Reader
from tracking.intake import Intake

MAX_EVENTS = 10
ASGI: dict[str, Any] = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"}
SLATE = new_slate()


class Beacons:
    """Tracking's HTTP app over real stores, without the network."""

    def __init__(self, stage: Stage, directory: Path, max_events: int = MAX_EVENTS) -> None:
        self._stage = stage
        self._bus = SqliteEventLog(directory / "bus.db")
        self._store = SqliteDeliveryStore(directory / "deliveries.db")
        clock = MappedClock.create(directory / "clock", START)
        limits: dict[str, Any] = {"max_queued": 1000, "max_queued_bytes": 10**8, "store_timeout_s": 30}
        self.intake = Intake(self._bus, self._store, clock, orphan_wait_s=60, keep_s=1000, sweep_s=60, **limits)
        reader = Reader(KEYRING, frozenset({"impression", "click", "like"}), 1000, os.urandom)
        bounds = {"max_events": max_events, "max_body_bytes": 20_000}
        self._app = create_app(self.intake, reader, clock, **bounds, is_ready=lambda: True, lifespan=_no_lifespan)

    def stored(self) -> int:
        return self._bus.totals()["events"] + self._store.waiting()

    def post(self, body: bytes) -> tuple[int, dict[str, Any]]:
        status, answer = self.ask({"method": "POST", "path": "/v1/events", "query_string": b""}, body)
        return status, json.loads(answer)

    def ask(self, request: dict[str, Any], body: bytes = b"") -> tuple[int, bytes]:
        """An exception of the app is raised here."""
        return self._stage.run(self.asked(request, body))

    async def asked(self, request: dict[str, Any], body: bytes) -> tuple[int, bytes]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app({**ASGI, "headers": [(b"content-length", b"%d" % len(body))], **request}, receive, send)
        return sent[0]["status"], b"".join(part["body"] for part in sent[1:])


@asynccontextmanager
async def _no_lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture(scope="module")
def beacons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beacons]:
    with Stage() as stage:
        beacons = Beacons(stage, tmp_path_factory.mktemp("beacons"))
        beacons.intake.start()
        stage.run(beacons.intake.record([SpooledSlate.of(encode_slate(SLATE))]))
        yield beacons
        stage.run(asyncio.to_thread(beacons.intake.stop))


TEXTS = st.text(st.characters(), max_size=40)  # surrogates too
SCALARS = st.none() | st.booleans() | st.integers() | st.integers(-(10**400), 10**400) | st.floats() | TEXTS
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))
DATES = st.sampled_from([1e9, START, START * 1000, "2025-10-09T08:53:20Z", "2025-10-09", "2099-01-01T00:00:00Z"])
NEAR = SCALARS | DATES | st.just("x" * 129)
VALID = st.fixed_dictionaries(
    {
        "delivery_id": st.sampled_from([delivery.delivery_id for delivery in SLATE.deliveries])
        | st.builds(lambda: new_slate().deliveries[0].delivery_id),
        "type": st.sampled_from(["impression", "click", "like"]),
        "event_id": st.text(st.characters(codec="utf-8"), min_size=1, max_size=128),
    },
    optional={"value": st.none(), "occurred_at": st.sampled_from([START, int(START) - 5, "2025-10-09T08:53:20Z"])},
)
FIELDS = st.sampled_from(["delivery_id", "type", "value", "occurred_at", "event_id"])
MUTATED = st.builds(lambda event, field, value: {**event, field: value}, VALID, FIELDS | TEXTS, NEAR | JSON)
BATCHES = st.lists(VALID | MUTATED | JSON, max_size=MAX_EVENTS + 1).map(lambda events: json.dumps({"events": events}))


PIECES = st.sampled_from([b"", b"\xff", b'"', b"\\ud800", b"1e999", b"NaN"]) | st.binary(max_size=3)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A batch with pieces cut out, doubled or overwritten: among others torn escapes and keys given twice."""
    body = draw(BATCHES).encode()
    for _ in range(draw(st.integers(1, 3))):
        start, end = sorted((draw(st.integers(0, len(body))), draw(st.integers(0, len(body)))))
        body = body[:start] + draw(PIECES | st.just(2 * body[start:end])) + body[end:]
    return body


OPENINGS = st.sampled_from([b"[", b'{"events":[', b'{"a":'])
NESTED = st.builds(lambda opening, n, inner: opening * n + inner, OPENINGS, st.integers(1, 3000), st.binary(max_size=3))
BODIES = st.binary(max_size=60) | JSON.map(json.dumps).map(str.encode) | BATCHES.map(str.encode) | damaged() | NESTED


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES)
def test_every_body_is_answered_and_exactly_what_is_accepted_is_stored(beacons: Beacons, body: bytes) -> None:
    before = beacons.stored()
    status, answer = beacons.post(body)
    assert status in (202, 400, 413, 422)
    assert beacons.stored() - before == answer.get("accepted", 0)
    if status == 202:
        assert all(rejection["reason"] and rejection["detail"] for rejection in answer["rejected"])
    else:
        assert answer["detail"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(VALID, min_size=1, max_size=MAX_EVENTS - 3), st.lists(MUTATED | JSON, max_size=3), st.randoms())
def test_a_bad_event_costs_the_good_ones_of_its_batch_nothing(
    beacons: Beacons, good: list[Any], bad: list[Any], order: random.Random
) -> None:
    sent = [(True, event) for event in good] + [(False, event) for event in bad]
    order.shuffle(sent)
    status, answer = beacons.post(json.dumps({"events": [event for _, event in sent]}).encode())
    if status == 202:  # 400 where the batch as a whole is no JSON
        rejected = [rejection["index"] for rejection in answer["rejected"]]
        assert answer["accepted"] + len(set(rejected)) == len(sent)
        assert not any(sent[index][0] for index in rejected)


@settings(max_examples=50)
@given(st.binary(max_size=60), st.sampled_from([b"", b"&t=click", b"&t=%ff", b"&d=x"]))
def test_every_pixel_is_answered_and_stored_only_if_it_is_good(beacons: Beacons, d: bytes, more: bytes) -> None:
    before = beacons.stored()
    status, _ = beacons.ask({"method": "GET", "path": "/v1/pixel.gif", "query_string": b"d=" + d + more})
    assert status in (200, 422)
    assert beacons.stored() - before == (status == 200)
