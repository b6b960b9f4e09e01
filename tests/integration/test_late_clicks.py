"""A click that comes when the delivery store has forgotten its record: the warehouse joins it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from batch.aggregates import Aggregates
from batch.loader import Cursor, Loader
from omakase.adapters import open_delivery_store
from omakase.core.events import Event
from omakase.core.slates import Slate
from omakase.core.tables import hour_of
from tests.counterparts import cloud
from tests.integration.stage import KEYRING, START, until
from tests.integration.test_tracking import new_slate
from tests.integration.test_trainer import RULES, Desk
from tracking.events import Reader
from tracking.service import new_service

LATE_S = RULES.reward_window_s - 1


class LateDesk(Desk):
    """Tracking, trainer and warehouse over a Redis that forgets a record as soon as it can."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.deliveries = open_delivery_store(cloud.redis(directory) + "&expiry_s=0.05")  # type: ignore[assignment]
        self._loader = Loader(self.bus, self.warehouse, Cursor(directory / "cursor"))
        self._aggregates = Aggregates(self.warehouse, self.clock, RULES.reward_window_s)

    def send(self, slate: Slate, position: int, kind: str) -> Event:
        """As a storefront does, now, past the door."""
        reader = Reader(KEYRING, frozenset({"impression", "click"}), RULES.reward_window_s, os.urandom)
        sent = {"delivery_id": slate.deliveries[position - 1].delivery_id, "type": kind}
        event = reader.read(sent, self.clock.now())
        self._store(events=[event])
        return event

    def counted(self) -> dict[int, tuple[int, int]]:
        """Impressions and clicks by position, of the hour in which all was served."""
        self._loader.load()
        self._aggregates.run()
        rows = self.warehouse.query(f"SELECT * FROM hourly WHERE hour = {hour_of(START)}")
        return {row["position"]: (row["impressions"], row["clicks"]) for row in rows}


@pytest.fixture
def desk(tmp_path: Path) -> LateDesk:
    return LateDesk(tmp_path)


def test_is_in_the_aggregate_of_the_hour_in_which_it_was_served_and_the_account_balances(desk):
    slate = new_slate()
    desk.receive(slate)
    assert desk.counted() == {1: (0, 0), 2: (0, 0), 3: (0, 0)}
    until(lambda: not desk.deliveries.find([slate.request_id]), "the record has expired")
    desk.clock.move(START + LATE_S)
    late = desk.send(slate, 2, "click")
    assert desk.deliveries.waiting() == 0
    assert desk.counted() == {1: (0, 0), 2: (1, 1), 3: (0, 0)}
    (row,) = desk.warehouse.query("SELECT * FROM events")
    assert (row["type"], row["received_at"]) == ("click", late.received_at)
    assert [row[name] for name in ("placement", "variant", "policy", "unit", "item_id")] == [None] * 5
    desk.tick(START + 2 * RULES.reward_window_s)
    assert desk.ends() == ({"unseen": 3}, {"orphan_expired": 1})


def test_waits_for_its_record_while_that_may_be_on_its_way(desk):
    slate = new_slate(START - 0.01)
    desk.send(slate, 2, "click")
    assert desk.deliveries.waiting() == 1
    assert desk.bus.last_offset() == 0
    desk.receive(slate)
    assert desk.deliveries.waiting() == 0
    assert desk.counted() == {1: (0, 0), 2: (1, 1), 3: (0, 0)}


@pytest.mark.parametrize(("expiry_s", "is_told"), [(10, True), (1e6, False)])
def test_a_store_that_forgets_before_the_window_ends_is_told_at_the_start(till, tmp_path, caplog, expiry_s, is_told):
    deliveries = open_delivery_store(f"{cloud.redis(tmp_path)}&expiry_s={expiry_s}")
    service = new_service(till.settings, till.product, replace(till.stores, deliveries=deliveries))
    service.start()
    service.stop()
    assert ("reported and not learnt" in caplog.text) is is_told
