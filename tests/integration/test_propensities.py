"""Propensities from the recommender to a query of the warehouse, and past the trainer."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from batch.loader import Cursor, Loader
from omakase import adapters
from omakase.adapters.local.event_log import SqliteEventLog
from omakase.adapters.local.warehouse import FileWarehouse
from omakase.config import parse_product
from omakase.core.events import Event
from omakase.core.ids import RequestId, text_of
from omakase.core.propensities import Propensities, SlatePropensities
from omakase.core.slates import Slate
from omakase.serving.rpc import Health, new_server
from omakase.v1 import recommender_pb2 as pb
from omakase.v1 import tracking_pb2, tracking_pb2_grpc
from omakase.wire import RecordedSlate, SpooledPropensities, decode_bus_body, encode_propensities, encode_slate
from tests.integration.asking import Asking
from tests.integration.stage import PRODUCT, START, RunningRecommender, Shop, Stage
from tests.integration.test_tracking import new_slate
from tests.integration.test_trainer import Desk
from tracking.intake import Intake
from tracking.join import event_message, propensities_message
from tracking.records import TrackingServicer

SLATES = 400
QUERY = re.findall(r"```sql\n(.*?)```", (Path(__file__).parents[2] / "docs/propensities.md").read_text(), re.DOTALL)[0]


class Line:
    """Tracking over gRPC, its bus, and the loader behind it."""

    def __init__(self, stage: Stage, shop: Shop) -> None:
        self._stage = stage
        self.bus = SqliteEventLog(shop.directory / "bus.db")
        self.warehouse = FileWarehouse(shop.directory / "warehouse")
        self.loader = Loader(self.bus, self.warehouse, Cursor(shop.directory / "cursor"))
        database = f"sqlite:{shop.directory}/deliveries.db"
        self._intake = Intake(
            self.bus,
            adapters.open_delivery_store(database),
            shop.clock,
            orphan_wait_s=60,
            keep_s=1000,
            sweep_s=0.01,
            max_queued=10_000,
            max_queued_bytes=10**8,
            store_timeout_s=30,
        )
        self._intake.start()
        servicer = TrackingServicer(self._intake, adapters.open_forgotten(database), shop.clock)
        self._server, self.target = stage.run(self._start(servicer))

    async def _start(self, servicer: TrackingServicer) -> tuple[grpc.aio.Server, str]:
        server = new_server([], Health())
        tracking_pb2_grpc.add_TrackingServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, f"127.0.0.1:{port}"

    def send(self, *records: bytes) -> None:
        with grpc.insecure_channel(self.target) as channel:
            request = tracking_pb2.RecordSlatesRequest(slates=records)
            tracking_pb2_grpc.TrackingStub(channel).RecordSlates(request, timeout=10)

    def slates(self) -> list[Slate]:
        records = [decode_bus_body(logged.message.body) for logged in self.bus.read(0, 100_000)]
        return [record for record in records if isinstance(record, Slate)]

    def stop(self) -> None:
        self._stage.run(self._server.stop(None))
        self._intake.stop()


@pytest.fixture
def line(stage: Stage, shop: Shop) -> Iterator[Line]:
    line = Line(stage, shop)
    yield line
    line.stop()


def counted(request_id: RequestId, n: int = 3) -> bytes:
    positions = Propensities(np.full(n, 0.4), np.full(n, 10), np.full(n, 4), np.zeros(n, dtype=np.bool_))
    return encode_propensities(SlatePropensities(request_id, positions))


def serve(stage: Stage, shop: Shop, line: Line, **asked: Any) -> None:
    """Slates for the same person and time, from a recommender that is then stopped."""
    shop.product = parse_product(PRODUCT + "propensities: {occurrences: 4, max_draws: 4096, cpu_share: 10}\n")
    shop.publish(shop.learnt(8))
    running = RunningRecommender(stage, shop, shop.directory / "spool", tracking=line.target).ready()
    fields = {"placement": "home-top", "variant": "learnt", "limit": 2, "measure": True}
    with grpc.insecure_channel(running.target) as channel:
        asking = Asking(channel)
        for _ in range(SLATES):
            asking(pb.RecommendRequest(**fields, **asked), 10)
    running.stop(within_s=60.0)


def click(line: Line, rates: dict[str, float]) -> None:
    rng = np.random.default_rng(5)
    for slate in line.slates():
        if rng.random() < rates[slate.deliveries[0].item_id]:
            event = Event(os.urandom(16), slate.request_id, 1, "click", START + 1)
            line.bus.publish([event_message(event, RecordedSlate(encode_slate(slate)))])


def test_the_documented_query_tells_what_each_item_would_earn(stage, shop, line):
    serve(stage, shop, line, policy="thompson", model="clicks")
    rates = {f"i{i}": 0.2 + 0.6 * (i % 3 == 0) for i in range(20)}
    click(line, rates)
    line.loader.load()
    (rows,) = line.warehouse.query("SELECT count(*) AS n, count(DISTINCT request_id) AS slates FROM propensities")
    assert rows == {"n": 2 * SLATES, "slates": SLATES}
    found = {row["item_id"]: row for row in line.warehouse.query(QUERY)}
    often = {item_id: row for item_id, row in found.items() if row["shown"] >= 20}
    assert len(often) >= 2
    for item_id, row in often.items():
        # With p the share it was shown with: the weights have at most 1.25 times the mean square of 1/p.
        error = math.sqrt((1.25 * SLATES / row["shown"] - 1) / SLATES)
        assert row["weight"] == pytest.approx(1.0, abs=4 * error)
        assert row["click_rate"] == pytest.approx(
            rates[item_id], abs=4 * math.sqrt(1.25 * rates[item_id]) * error * 1.2
        )


def test_what_a_formula_says_is_in_the_delivery_and_is_not_counted(stage, shop, line):
    serve(stage, shop, line, policy="chance")
    line.loader.load()
    (row,) = line.warehouse.query("SELECT min(propensity) AS least, max(propensity) AS most FROM deliveries")
    assert row["least"] == row["most"] == pytest.approx(1 / 18)
    assert line.warehouse.query("SELECT * FROM propensities") == []


def test_propensities_pass_through_tracking_once_however_often_they_are_sent(line):
    slate = new_slate()
    line.send(encode_slate(slate), counted(slate.request_id))
    line.send(encode_slate(slate), counted(slate.request_id))
    line.send(counted(slate.request_id))
    assert line.bus.totals() == {"deliveries": 3, "events": 0, "propensities": 3, "discards": 0}
    line.loader.load()
    rows = line.warehouse.query("SELECT request_id, position, propensity, draws FROM propensities ORDER BY position")
    name = text_of(slate.request_id)
    assert rows == [{"request_id": name, "position": at, "propensity": 0.4, "draws": 10} for at in (1, 2, 3)]


def test_propensities_without_their_slate_are_kept_too(line):
    line.send(counted(new_slate().request_id))
    assert line.bus.totals() == {"deliveries": 0, "events": 0, "propensities": 3, "discards": 0}


def test_propensities_that_cannot_be_read_are_refused_with_their_place_and_nothing_is_stored(line):
    slate = new_slate()
    with pytest.raises(grpc.RpcError) as raised:
        line.send(encode_slate(slate), counted(slate.request_id)[:-3])
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "record 1" in raised.value.details()
    assert line.bus.last_offset() == 0


def test_the_trainer_passes_them_by_and_its_account_balances(tmp_path):
    desk = Desk(tmp_path)
    slate = new_slate()
    body = counted(slate.request_id)
    desk.bus.publish([propensities_message(SpooledPropensities.of(body), START)])
    desk.tick(START + 1)
    assert desk.state.progress().cursor == desk.bus.last_offset() == 1
    desk.receive(slate)
    desk.happen(slate, (1, "impression"), (1, "click"))
    desk.tick(START + 20)
    desk.trainer.drain()
    assert desk.ends() == ({"learnt": 1, "unseen": 2}, {"used": 2})
    assert adapters.open_dead_letters(f"sqlite:{tmp_path}/training.db").counts() == []
    assert desk.state.progress().cursor == desk.bus.last_offset()
