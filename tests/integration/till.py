"""Tracking as `python -m tracking` puts it together, with a browser and an order system in front of it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI

from omakase import adapters
from omakase.adapters.local.clock import MappedClock
from omakase.api_keys import Scope
from omakase.config import parse_product
from omakase.core.accounting import Tally
from omakase.core.events import Event
from omakase.core.folding import fold_slate
from omakase.core.ids import NOBODY, new_request_id
from omakase.core.sessions import SlateRead, SlateState
from omakase.core.slates import Slate
from omakase.issuing import create_key
from omakase.keys import create_keys
from omakase.serving.http import listen, new_server
from omakase.serving.refusals import Refusals
from omakase.settings import TrackingSettings
from omakase.wire import SpooledSlate, decode_bus_body, encode_slate
from tests.integration.stage import PATIENCE_S, START, Stage, Visitor, until
from tests.slates import Ranked, stamp
from tracking.service import Service, Stores, new_app, new_service

PRODUCT = """
placements:
  home: {rewards: {click: 1, conversion: 0.1}, variants: {learnt: {share: 10000, policy: thompson, model: clicks}}}
policies: {thompson: {type: linear_ts}}
models: {clicks: {features: taste, conversions: true}}
features: {taste: {item: [{type: numeric, name: price}]}}
learning: {session_gap_s: 10, session_max_s: 60, reward_window_s: 1000, allowed_lateness_s: 100,
           attribution_window_s: 10000}
event_types: [like]
"""
WAIT_S = 60.0


class Till(Visitor):
    """Tracking over a data directory, which another till may open after it has closed."""

    def __init__(self, stage: Stage, directory: Path, more: str = "", **settings: Any) -> None:
        is_first = not (directory / "keys.yaml").exists()
        self.keyring = create_keys(directory / "keys.yaml")
        if is_first:
            (directory / "key").write_text(create_key(directory / "keys.yaml", "orders", Scope.SERVER))
        self.key = (directory / "key").read_text()
        clock = directory / "clock"
        self.clock = MappedClock.create(clock, START) if is_first else MappedClock(clock)
        self.product = parse_product(PRODUCT + more)
        database = f"sqlite:{directory}/deliveries.db"
        self.settings = TrackingSettings(
            **{
                "config": "",
                "keys": str(directory / "keys.yaml"),
                "grpc_address": "",
                "bus": "",
                "deliveries": "",
                "contexts": "",
            }
            | {"sweep_s": 0.01, "order_wait_s": WAIT_S}
            | settings
        )
        self.log = adapters.open_event_log(f"sqlite:{directory}/bus.db")
        self.stores = Stores(
            adapters.open_event_bus(f"sqlite:{directory}/bus.db"),
            adapters.open_delivery_store(database),
            adapters.open_touches(database),
            adapters.open_orders(database),
            adapters.open_credits(database),
            adapters.open_context_store(f"sqlite:{directory}/contexts.db"),
            adapters.open_forgotten(database),
            self.clock,
        )
        self._stage = stage
        self.service: Service = new_service(self.settings, self.product, self.stores)
        sock = listen("127.0.0.1", 0)
        super().__init__(int(sock.getsockname()[1]))
        self._server = stage.run(self._new_server())
        self._serving = stage.spawn(self._server.serve(sockets=[sock]))
        until(lambda: self._server.started, "tracking listens")

    async def _new_server(self) -> uvicorn.Server:
        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            # Orders are settled when a test says so; the desk's own thread has a test of its own.
            self.service.intake.start()
            yield
            await asyncio.to_thread(self.service.intake.stop)

        app = new_app(self.service, self.settings, lambda: True, lifespan)
        return new_server(app, self.settings, Refusals())

    def close(self) -> None:
        self._server.should_exit = True
        self._serving.result(PATIENCE_S)

    def slate(self, user: str = "u1", anonymous: str = "", items: tuple[str, ...] = ("shoe", "hat")) -> Slate:
        """A slate served now; nobody has recorded it yet."""
        now = self.clock.now()
        request_id = new_request_id(now, os.urandom)
        ranking = [Ranked(item, 0.5, np.array([1.0, 0.0], dtype=np.float32), {}) for item in items]
        known = self.keyring.pseudonym("user", user) if user else NOBODY
        return Slate(
            request_id=request_id,
            served_at=now,
            placement="home",
            variant="learnt",
            policy="thompson",
            model="clicks/abc",
            model_version="clicks/abc@1",
            catalogue_generation=1,
            unit=self.keyring.pseudonym("anonymous", anonymous) if anonymous else known,
            user=known,
            context={},
            context_factor=np.array([1.0], dtype=np.float32),
            deliveries=stamp(ranking, request_id, self.keyring),
        )

    def record(self, slate: Slate) -> Slate:
        self._stage.run(self.service.intake.record([SpooledSlate.of(encode_slate(slate))]))
        return slate

    def happen(self, slate: Slate, position: int, *kinds: str, **headers: str) -> None:
        """A browser sends these events of one delivery."""
        sent = [{"delivery_id": slate.deliveries[position - 1].delivery_id, "type": kind} for kind in kinds]
        status, answer = self.post("/v1/events", {"events": sent}, headers)
        assert (status, answer["accepted"]) == (202, len(kinds)), answer

    def sell(self, item: str = "shoe", order: str = "o1", user: str = "u1", **more: Any) -> None:
        """The order system tells of a line, bought now."""
        line = {"user_id": user, "item_id": item, "order_id": order, "value": 80.0, "currency": "CHF"}
        line = {**line, "occurred_at": self.clock.now(), **more}
        status, answer = self.post("/v1/conversions", {k: v for k, v in line.items() if v is not None}, self.server())
        assert (status, answer["accepted"]) == (202, 1), answer

    def server(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def post(self, path: str, body: Any, headers: Mapping[str, str] = {}) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request("POST", path, json.dumps(body).encode(), dict(headers))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def later(self, seconds: float) -> None:
        self.clock.move(self.clock.now() + seconds)

    def settle(self) -> None:
        """Let everything wait long enough, and settle it."""
        self.later(WAIT_S + 1)
        while self.service.desk.settle():
            pass

    def events(self, *kinds: str) -> list[Event]:
        """What is on the bus of these kinds, in its order."""
        records = (decode_bus_body(logged.message.body) for logged in self.log.read(0, 10_000))
        return [record for record in records if isinstance(record, Event) and record.type in kinds]

    def tally(self) -> Tally:
        """How everything on the bus ends, by the trainer's own fold, after a drain."""
        total: Tally = Tally()
        records = [decode_bus_body(logged.message.body) for logged in self.log.read(0, 10_000)]
        for request_id, of in groupby(sorted(records, key=lambda r: r.request_id), key=lambda r: r.request_id):
            found = list(of)
            slate = next((SlateRead(len(r.deliveries), True) for r in found if isinstance(r, Slate)), None)
            events = [record for record in found if isinstance(record, Event)]
            rules, rewards = self.product.learning.rules(), self.product.reward_tables()
            total.update(fold_slate(SlateState(request_id), slate, events, float("inf"), rules, rewards).tally)
        return +total
