"""The batch jobs over a real bus, warehouse and model store, and what the gateway makes of them."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from batch.aggregates import Aggregates
from batch.context_free import ContextFree
from batch.loader import CONSUMER, Cursor, Loader
from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.event_log import SqliteEventLog
from omakase.adapters.local.model_store import FileModelStore
from omakase.adapters.local.warehouse import FileWarehouse
from omakase.core.errors import Corrupt, Unavailable
from omakase.core.events import Event
from omakase.core.slates import Slate
from omakase.core.tables import hour_of
from omakase.ports.event_bus import Message
from omakase.wire import RecordedSlate, SpooledSlate, encode_slate
from tests.integration.stage import START
from tests.integration.test_tracking import new_slate
from tracking.join import event_message, slate_message

HOUR = hour_of(START) + 3600
WINDOW_S = 24 * 3600.0
HALF_LIFE_S = 7 * 24 * 3600.0


class Desk:
    """The bus and the jobs that read it. Opened again, it is the next process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = MappedClock.create(directory / "clock", START)
        self.bus = SqliteEventLog(directory / "bus.db")
        self.warehouse = FileWarehouse(directory / "warehouse")
        self.store = FileModelStore(directory / "models")
        self.cursor = Cursor(directory / "warehouse.cursor")
        self.loader = Loader(self.bus, self.warehouse, self.cursor)
        self.aggregates = Aggregates(self.warehouse, self.clock, WINDOW_S)
        self.context_free = ContextFree(self.warehouse, self.store, HALF_LIFE_S)
        self._numbers = itertools.count()

    def serve(self, *slates: Slate) -> None:
        self.bus.publish([slate_message(SpooledSlate.of(encode_slate(slate)), slate.served_at) for slate in slates])

    def happen(self, slate: Slate, position: int, kind: str, at: float, **fields: Any) -> Event:
        """An accepted event, joined as tracking does."""
        receipt = next(self._numbers).to_bytes(8, "big") + os.urandom(8)
        event = Event(receipt, slate.request_id, position, kind, at, **fields)
        self.bus.publish([event_message(event, RecordedSlate(encode_slate(slate)))])
        return event

    def aggregate(self) -> int:
        """Aggregate, and count by that. Returns how many hours were written."""
        written = self.aggregates.run()
        self.context_free.run()
        return written.hours

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return self.warehouse.query(sql)

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"])

    def report(self) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """(hour, variant, item) to (deliveries, impressions, clicks, value)."""
        return {
            (row["hour"], row["variant"], row["item_id"]): (
                row["deliveries"],
                row["impressions"],
                row["clicks"],
                pytest.approx(row["value"]),
            )
            for row in self.rows("SELECT * FROM hourly")
        }


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_copies_what_the_bus_carries_and_tells_the_bus_so(desk):
    slate = new_slate()
    desk.serve(slate)
    desk.happen(slate, 2, "click", START + 1)
    assert desk.loader.load() == 2
    assert desk.loader.load() == 0
    assert (desk.count("deliveries"), desk.count("events")) == (3, 1)
    (row,) = desk.rows("SELECT item_id, variant, unit FROM events")
    assert row == {"item_id": "i1", "variant": "learnt", "unit": "unit"}
    desk.bus.acknowledge("trainer", 2)
    assert desk.bus.trim() == 1
    assert CONSUMER == "warehouse"


def test_a_load_that_died_before_its_cursor_is_repeated_and_nothing_is_there_twice(desk, tmp_path, monkeypatch):
    first, second = new_slate(), new_slate()
    desk.serve(first)
    desk.happen(first, 1, "impression", START)
    monkeypatch.setattr(Cursor, "write", lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        desk.loader.load()
    monkeypatch.undo()
    assert (desk.count("deliveries"), desk.count("events")) == (3, 1)
    reborn = Desk(tmp_path)
    reborn.serve(second)
    reborn.happen(second, 1, "impression", START)
    assert reborn.loader.load() == 4
    assert (reborn.count("deliveries"), reborn.count("events")) == (6, 2)


def test_a_load_that_died_between_its_tables_is_completed(desk, tmp_path, monkeypatch):
    slate = new_slate()
    desk.serve(slate)
    desk.happen(slate, 1, "impression", START)
    append = FileWarehouse.append

    def dying(self: FileWarehouse, table: Any, part: str, rows: Any) -> None:
        if table == "events":
            raise Unavailable("no room")
        append(self, table, part, rows)

    monkeypatch.setattr(FileWarehouse, "append", dying)
    with pytest.raises(Unavailable):
        desk.loader.load()
    monkeypatch.undo()
    assert Desk(tmp_path).loader.load() == 2
    assert (desk.count("deliveries"), desk.count("events")) == (3, 1)


def test_a_message_that_cannot_be_read_is_left_out_and_said(desk, caplog):
    desk.bus.publish([Message(b"x" * 16, START, b"\xffnonsense")])
    desk.serve(new_slate())
    assert desk.loader.load() == 2
    assert desk.count("deliveries") == 3
    assert "offset 1 is not in the warehouse" in caplog.text


def test_a_lost_cursor_overwrites_nothing_that_the_bus_no_longer_has(desk):
    for _ in range(3):
        desk.serve(new_slate())
        desk.loader.load()
    desk.bus.acknowledge("trainer", 3)
    assert desk.bus.trim() == 2
    desk.cursor.path.unlink()
    desk.serve(new_slate())
    desk.loader.load()
    assert desk.rows("SELECT count(DISTINCT request_id) AS n FROM deliveries") == [{"n": 4}]


def test_a_lost_bus_is_an_error_that_says_what_to_do_and_nothing_is_skipped(desk):
    desk.cursor.write(10)
    desk.serve(new_slate())
    with pytest.raises(Corrupt, match="the bus was lost"):
        desk.loader.load()
    assert desk.cursor.read() == 10


@pytest.mark.parametrize("text", ["", "-1", "1.5", "rubbish"])
def test_a_cursor_that_holds_no_offset_is_an_error_that_names_it(desk, text):
    desk.cursor.path.write_text(text)
    desk.serve(new_slate())
    with pytest.raises(Corrupt, match=r"warehouse.cursor holds .* not an offset"):
        desk.loader.load()
    assert desk.count("deliveries") == 0


def test_a_cursor_that_cannot_be_written_is_tried_again(desk):
    desk.serve(new_slate())
    in_the_way = desk.cursor.path.with_suffix(".new")
    in_the_way.mkdir()
    with pytest.raises(Unavailable, match="cannot write"):
        desk.loader.load()
    in_the_way.rmdir()
    desk.loader.load()
    assert desk.count("deliveries") == 3


def test_counts_of_events_by_type_in_the_warehouse_are_those_of_the_bus(desk):
    slate = new_slate(HOUR)
    desk.serve(slate)
    kinds = ["impression", "click", "impression", "like"]
    for kind in kinds:
        desk.happen(slate, 1, kind, HOUR + 1)
    desk.loader.load()
    found = {row["type"]: row["n"] for row in desk.rows("SELECT type, count(*) AS n FROM events GROUP BY 1")}
    assert found == Counter(kinds)
