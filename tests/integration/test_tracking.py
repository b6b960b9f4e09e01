"""Tracking behind a real HTTP server, over real stores."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI

from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.delivery_store import SqliteDeliveryStore
from omakase.adapters.local.event_log import SqliteEventLog
from omakase.core.errors import Unavailable
from omakase.core.events import Event
from omakase.core.ids import Pseudonym, new_request_id
from omakase.core.slates import Slate
from omakase.ports.event_bus import Message
from omakase.serving.http import listen
from omakase.wire import SpooledSlate, decode_bus_body, encode_slate
from tests.integration.stage import KEYRING, PATIENCE_S, START, Stage, Visitor, until
from tests.slates import Ranked, stamp
from tracking.api import create_app
from tracking.events import Reader
from tracking.intake import Intake

WINDOW_S = 1000.0
ORPHAN_WAIT_S = 60.0


class BreakableBus(SqliteEventLog):
    """The real bus, with a plug that can be pulled."""

    is_cut = False

    def publish(self, messages: Any) -> None:
        if self.is_cut:
            raise Unavailable("the bus is cut")
        super().publish(messages)

    def messages(self) -> list[Message]:
        return [logged.message for logged in self.read(0, 100_000)]

    def events(self) -> list[Event]:
        records = (decode_bus_body(message.body) for message in self.messages())
        return [record for record in records if isinstance(record, Event)]


class RunningTracking(Visitor):
    """Tracking in this process."""

    def __init__(self, stage: Stage, directory: Path, max_queued: int = 1000, store_timeout_s: float = 30) -> None:
        self.clock = MappedClock.create(directory / "clock", START)
        self.bus = BreakableBus(directory / "bus.db")
        self.store = SqliteDeliveryStore(directory / "deliveries.db")
        self._stage = stage
        self.intake = Intake(
            self.bus,
            self.store,
            self.clock,
            orphan_wait_s=ORPHAN_WAIT_S,
            keep_s=WINDOW_S,
            sweep_s=0.01,
            max_queued=max_queued,
            max_queued_bytes=10**8,
            store_timeout_s=store_timeout_s,
        )
        sock = listen("127.0.0.1", 0)
        super().__init__(int(sock.getsockname()[1]))
        self._server = stage.run(self._new_server())
        self._serving = stage.spawn(self._server.serve(sockets=[sock]))
        until(lambda: self._server.started, "tracking listens")

    async def _new_server(self) -> uvicorn.Server:
        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            self.intake.start()
            yield
            await asyncio.to_thread(self.intake.stop)

        reader = Reader(KEYRING, frozenset({"impression", "click", "like"}), WINDOW_S, os.urandom)
        app = create_app(
            self.intake,
            reader,
            self.clock,
            max_events=50,
            max_body_bytes=100_000,
            is_ready=lambda: True,
            lifespan=lifespan,
        )
        return uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))

    def stop(self) -> None:
        self._server.should_exit = True
        self._serving.result(PATIENCE_S)

    def record(self, slate: Slate) -> None:
        self._stage.run(self.intake.record([SpooledSlate.of(encode_slate(slate))]))

    def post(self, *events: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return self.post_raw(json.dumps({"events": events}).encode())

    def post_raw(self, body: bytes) -> tuple[int, dict[str, Any]]:
        status, _, answer = self.send("POST", "/v1/events", body)
        return status, json.loads(answer)


@pytest.fixture
def tracking(tmp_path: Path) -> Iterator[RunningTracking]:
    with Stage() as stage:
        running = RunningTracking(stage, tmp_path)
        yield running
        running.stop()


def new_slate(served_at: float = START, n: int = 3) -> Slate:
    request_id = new_request_id(served_at, os.urandom)
    ranking = [Ranked(f"i{i}", 0.5, np.array([1.0, float(i)], dtype=np.float32), {"price": 9.5}) for i in range(n)]
    return Slate(
        request_id=request_id,
        served_at=served_at,
        placement="home",
        variant="learnt",
        policy="thompson",
        model="clicks/abc",
        model_version="clicks/abc@1",
        catalogue_generation=1,
        unit=Pseudonym("unit"),
        user=Pseudonym("user"),
        context={"device": "ios"},
        context_factor=np.array([1.0], dtype=np.float32),
        deliveries=stamp(ranking, request_id, KEYRING),
    )


def test_joins_an_event_to_its_delivery_before_it_answers_202(tracking):
    slate = new_slate()
    tracking.record(slate)
    status, answer = tracking.post({"delivery_id": slate.deliveries[1].delivery_id, "type": "click", "event_id": "e1"})
    assert (status, answer) == (202, {"accepted": 1, "rejected": []})
    (event,) = tracking.bus.events()
    assert (event.position, event.type, event.event_id, event.received_at) == (2, "click", "e1", START)
    assert event.delivery is not None
    assert (event.delivery.item_id, event.delivery.model) == ("i1", "clicks/abc")
    assert event.delivery.item_factor.tolist() == [1.0, 1.0]


def test_an_event_before_its_delivery_record_waits_for_it(tracking):
    slate = new_slate()
    assert tracking.post({"delivery_id": slate.deliveries[0].delivery_id, "type": "impression"})[0] == 202
    assert tracking.store.waiting() == 1
    tracking.record(slate)
    until(lambda: tracking.store.waiting() == 0, "the event is joined")
    (event,) = tracking.bus.events()
    assert event.delivery is not None
    assert event.received_at == START


def test_an_event_whose_delivery_never_comes_is_passed_on_as_an_orphan(tracking):
    tracking.post({"delivery_id": new_slate().deliveries[0].delivery_id, "type": "impression"})
    tracking.clock.move(START + ORPHAN_WAIT_S + 1)
    until(lambda: tracking.store.waiting() == 0, "the event is given up")
    (event,) = tracking.bus.events()
    assert event.delivery is None


def test_a_slate_goes_to_the_bus_once_however_often_it_is_sent(tracking):
    slate = new_slate()
    tracking.record(slate)
    tracking.record(slate)
    assert [message.key for message in tracking.bus.messages()] == [slate.request_id]
    assert tracking.bus.totals()["deliveries"] == 3


def test_accepts_the_good_and_rejects_the_bad_of_one_batch(tracking):
    slate = new_slate()
    tracking.record(slate)
    good = slate.deliveries[0].delivery_id
    forged = good[:-1] + ("A" if good[-1] != "A" else "B")
    old = new_slate(served_at=START - WINDOW_S - 1).deliveries[0].delivery_id
    future = new_slate(served_at=START + 3600).deliveries[0].delivery_id
    sent = {
        "forged": {"delivery_id": forged, "type": "click"},
        "truncated": {"delivery_id": good[:20], "type": "click"},
        "not ASCII": {"delivery_id": "é" * 32, "type": "click"},
        "expired": {"delivery_id": old, "type": "click"},
        "from the future": {"delivery_id": future, "type": "click"},
        "unknown type": {"delivery_id": good, "type": "clik"},
        "type is no text": {"delivery_id": good, "type": 3},
        "unknown key": {"delivery_id": good, "type": "click", "valu": 1},
        "value is text": {"delivery_id": good, "type": "like", "value": "9"},
        "huge value": {"delivery_id": good, "type": "like", "value": 1e300},
        "occurred too long ago": {"delivery_id": good, "type": "click", "occurred_at": START - WINDOW_S - 60},
        "occurred in the future": {"delivery_id": good, "type": "click", "occurred_at": "2099-01-01T00:00:00Z"},
        "milliseconds": {"delivery_id": good, "type": "click", "occurred_at": START * 1000},
        "no offset": {"delivery_id": good, "type": "click", "occurred_at": "2025-10-09T08:53:20"},
        "empty event id": {"delivery_id": good, "type": "click", "event_id": ""},
        "long event id": {"delivery_id": good, "type": "click", "event_id": "x" * 200},
        "not an object": 7,
        "null": None,
    }
    fine = {"delivery_id": good, "type": "impression", "occurred_at": "2025-10-09T08:53:19+00:00"}
    status, answer = tracking.post(*sent.values(), fine)  # type: ignore[arg-type]
    assert status == 202
    assert answer["accepted"] == 1
    reasons = dict(zip(sent, (entry["reason"] for entry in answer["rejected"]), strict=True))
    assert [entry["index"] for entry in answer["rejected"]] == list(range(len(sent)))
    assert reasons["forged"] == "delivery_id_forged"
    assert reasons["truncated"] == reasons["not ASCII"] == "delivery_id_malformed"
    assert reasons["expired"] == "delivery_id_expired"
    assert reasons["from the future"] == "delivery_id_from_the_future"
    assert reasons["unknown type"] == "unknown_type"
    assert reasons["occurred too long ago"] == reasons["occurred in the future"] == "occurred_at_out_of_range"
    assert all(reason == "malformed" for name, reason in reasons.items() if name in list(sent)[6:10] + list(sent)[12:])
    details = dict(zip(sent, (entry["detail"] for entry in answer["rejected"]), strict=True))
    assert "did you mean 'click'?" in details["unknown type"]
    assert all(details.values())
    assert [event.type for event in tracking.bus.events()] == ["impression"]
    assert tracking.store.waiting() == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": "like"}, "event_id_missing"),
        ({"type": "like", "event_id": None}, "event_id_missing"),
        ({"type": "like", "event_id": "e", "value": 5.0}, "value_needs_key"),
        ({"type": "click", "value": 0.0}, "value_needs_key"),
        ({"type": "exclusion", "event_id": "e"}, "unknown_type"),
    ],
)
def test_a_browser_may_not_say_what_something_is_worth_nor_send_what_cannot_be_counted(tracking, fields, reason):
    status, answer = tracking.post({"delivery_id": new_slate().deliveries[0].delivery_id, **fields})
    assert (status, answer["accepted"], answer["rejected"][0]["reason"]) == (202, 0, reason)
    assert tracking.store.waiting() == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"events": {}}', 400),
        (b'{"events": [], "more": 1}', 400),
        (b'{"events": [{"value": NaN}]}', 400),
        (b'{"events": [{"value": Infinity}]}', 400),
        (b'{"events": ["\xff\xfe"]}', 400),
        (b'{"events": ["\\ud800"]}', 400),
        (b"[" * 5000, 400),
        (b'{"events": [' + b"[[[[[[[[]]]]]]]]," * 500 + b"{}]}", 400),
        (b'{"events": [{' + b",".join(b'"k%d": 1' % i for i in range(2000)) + b"}]}", 400),
        (b'{"events": [' + b",".join([b"{}"] * 51) + b"]}", 422),
        (b'{"events": ["' + b"x" * 200_000 + b'"]}', 413),
    ],
)
def test_refuses_a_body_that_is_no_batch_and_says_why(tracking, body, status):
    answered, problem = tracking.post_raw(body)
    assert answered == status
    assert problem["detail"]
    assert tracking.bus.last_offset() == 0


def test_the_pixel_counts_an_impression_and_says_what_is_wrong_with_a_bad_one(tracking):
    slate = new_slate()
    tracking.record(slate)
    status, headers, body = tracking.send("GET", f"/v1/pixel.gif?d={slate.deliveries[0].delivery_id}&t=impression")
    assert (status, headers["content-type"], body[:6]) == (200, "image/gif", b"GIF89a")
    assert tracking.send("GET", "/v1/pixel.gif?d=nonsense&t=impression")[0] == 422
    assert tracking.send("GET", "/v1/pixel.gif")[0] == 422
    assert [event.type for event in tracking.bus.events()] == ["impression"]


def test_answers_503_and_when_to_come_back_while_it_cannot_store(tracking):
    slate = new_slate()
    tracking.record(slate)
    tracking.bus.is_cut = True
    event = {"delivery_id": slate.deliveries[0].delivery_id, "type": "click"}
    status, headers, body = tracking.send("POST", "/v1/events", json.dumps({"events": [event]}).encode())
    assert status == 503
    assert int(headers["retry-after"]) >= 1
    assert b"cut" in body
    tracking.bus.is_cut = False
    assert tracking.post(event)[0] == 202
    assert [event.type for event in tracking.bus.events()] == ["click"]


def test_refuses_more_than_it_may_queue(tmp_path):
    with Stage() as stage:
        tracking = RunningTracking(stage, tmp_path, max_queued=2)
        slate = new_slate()
        event = {"delivery_id": slate.deliveries[0].delivery_id, "type": "click"}
        assert tracking.post(event, event, event)[0] == 503
        assert tracking.post(event, event)[0] == 202
        tracking.stop()


def test_stores_what_it_accepted_before_it_stops(tmp_path):
    with Stage() as stage:
        tracking = RunningTracking(stage, tmp_path)
        slate = new_slate()
        tracking.record(slate)
        like = {"delivery_id": slate.deliveries[0].delivery_id, "type": "like"}
        for n in range(20):
            assert tracking.post({**like, "event_id": f"e{n}"})[1]["accepted"] == 1
        tracking.stop()
    totals = SqliteEventLog(tmp_path / "bus.db").totals()
    assert totals == {"deliveries": 3, "events": 20, "propensities": 0, "discards": 0}


def test_its_openapi_document_stands_by_itself(tracking):
    assert tracking.unresolved() == set()
    body = json.loads(tracking.send("GET", "/openapi.json")[2])["paths"]["/v1/events"]["post"]["requestBody"]
    event = body["content"]["application/json"]["schema"]["properties"]["events"]["items"]
    assert set(event["properties"]) == {"delivery_id", "type", "value", "occurred_at", "event_id"}
    assert len(event["example"]["delivery_id"]) == 32


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"occurred_at": "yesterday"}, "occurred_at: must be a date as text in ISO 8601"),
        ({"valeu": 1}, "valeu: is not a field; did you mean 'value'?"),
        ({"value": "9"}, "value: must be a number"),
        (7, "an event must be an object"),
    ],
)
def test_says_in_plain_words_what_is_wrong_with_an_event(tracking, wrong, words):
    good = {"delivery_id": new_slate().deliveries[0].delivery_id, "type": "click"}
    _, answer = tracking.post({**good, **wrong} if isinstance(wrong, dict) else wrong)
    (rejection,) = answer["rejected"]
    assert rejection["detail"].startswith(words)
