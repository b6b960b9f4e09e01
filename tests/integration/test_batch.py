"""The batch jobs over a real bus, warehouse and model store, and what the gateway makes of them."""

from __future__ import annotations

import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from batch.hourly import Hourly
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
        self.hourly = Hourly(self.warehouse, self.store, self.clock, WINDOW_S, HALF_LIFE_S)
        self._numbers = itertools.count()

    def serve(self, *slates: Slate) -> None:
        self.bus.publish([slate_message(SpooledSlate.of(encode_slate(slate)), slate.served_at) for slate in slates])

    def happen(self, slate: Slate, position: int, kind: str, at: float, **fields: Any) -> Event:
        """An accepted event, joined as tracking does."""
        receipt = next(self._numbers).to_bytes(8, "big") + os.urandom(8)
        event = Event(receipt, slate.request_id, position, kind, at, **fields)
        self.bus.publish([event_message(event, RecordedSlate(encode_slate(slate)))])
        return event

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


def worth(event: Event, happened: Sequence[Event]) -> float:
    """What an event is worth in money, its return taken off."""
    if event.value is None or event.type == "return":
        return 0.0
    backs = [e for e in happened if event.type == "conversion" and e.type == "return" and e.event_id == event.event_id]
    return event.value - sum(event.value if back.value is None else back.value for back in backs)


def brute_force(slates: Sequence[Slate], events: Sequence[Event]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The same report, counted one by one, by the rule by which the trainer counts."""
    seen: defaultdict[tuple[bytes, int], list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda event: (event.received_at, event.receipt_id)):
        known = seen[event.request_id, event.position]
        if event.event_id:
            is_repeated = any((e.type, e.event_id) == (event.type, event.event_id) for e in known)
        else:
            is_repeated = event.type in ("impression", "click") and any(
                (e.type, e.event_id) == (event.type, "") for e in known
            )
        if not is_repeated:
            known.append(event)
    unwanted = {(event.request_id, event.position) for event in events if event.unwanted}
    counted: defaultdict[tuple[Any, ...], list[float]] = defaultdict(lambda: [0, 0, 0, 0.0])
    for slate in slates:
        for delivery in slate.deliveries:
            happened = seen.get((slate.request_id, delivery.position), [])
            line = counted[hour_of(slate.served_at), slate.variant, delivery.item_id]
            line[0] += 1
            if (slate.request_id, delivery.position) in unwanted:
                continue
            line[1] += bool(happened)
            line[2] += any(event.type == "click" for event in happened)
            line[3] += sum(worth(event, happened) for event in happened)
    return {key: tuple(line) for key, line in counted.items()}


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


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_hourly_report_is_what_counting_one_by_one_gives(desk, seed):
    random = Random(seed)
    slates, events = [], []
    for _ in range(60):
        served_at = HOUR + random.uniform(0, 3 * 3600)
        slate = replace(new_slate(served_at), variant=random.choice(["control", "learnt"]))
        slates.append(slate)
        for _ in range(random.randrange(8)):
            kind = random.choice(["impression", "impression", "click", "conversion", "like", "return"])
            position, later = random.randint(1, 3), random.choice([1.0, 50.0, 4000.0, 9000.0])
            event_id = random.choice(["e1", "e2"] if kind == "return" else ["", "", "e1", "e2"])
            value = random.choice([None, 2.5, 10.0]) if kind in ("conversion", "return") else None
            unwanted = random.choice([""] * 15 + ["bot"])
            more = {"event_id": event_id, "value": value, "unwanted": unwanted}
            events.append((slate, position, kind, served_at + later, more))
    desk.serve(*slates)
    happened = [desk.happen(slate, position, kind, at, **more) for slate, position, kind, at, more in events]
    desk.clock.move(HOUR + 8 * 3600)
    desk.loader.load()
    desk.hourly.run()
    assert desk.report() == brute_force(slates, happened)


def test_slates_and_events_that_were_loaded_twice_count_once(desk):
    slate = new_slate(HOUR)
    desk.serve(slate)
    desk.happen(slate, 1, "conversion", HOUR + 1, value=5.0)
    desk.loader.load()
    for table in ("deliveries", "events"):
        rows = desk.rows(f"SELECT * FROM {table}")
        desk.warehouse.append(table, "again", rows)
    desk.clock.move(HOUR + 60)
    desk.hourly.run()
    assert desk.report()[HOUR, "learnt", "i0"] == (1, 1, 0, 5.0)


def test_what_was_tried_out_or_shown_to_nobody_is_in_no_report_and_in_no_count(desk):
    plain = new_slate(HOUR)
    tried = replace(new_slate(HOUR), assigned_by="override", model="")
    shadow = replace(new_slate(HOUR), shadow=True, variant="ghost", model="")
    desk.serve(plain, tried, shadow)
    for slate in (plain, tried):
        desk.happen(slate, 1, "click", HOUR + 1)
    desk.clock.move(HOUR + 60)
    desk.loader.load()
    assert desk.count("deliveries") == 9
    desk.hourly.run()
    assert desk.report() == {(HOUR, "learnt", f"i{i}"): (1, int(i == 0), int(i == 0), 0.0) for i in range(3)}


def test_a_click_in_a_later_hour_counts_for_the_hour_of_serving(desk):
    slate = new_slate(HOUR + 3500)
    desk.serve(slate)
    desk.clock.move(HOUR + 3600)
    desk.loader.load()
    assert desk.hourly.run() == 1
    assert desk.report()[HOUR, "learnt", "i0"] == (1, 0, 0, 0.0)
    desk.happen(slate, 1, "click", HOUR + 5 * 3600)
    desk.clock.move(HOUR + 6 * 3600)
    desk.loader.load()
    assert desk.hourly.run() == 1
    assert desk.report() == {(HOUR, "learnt", f"i{i}"): (1, int(i == 0), int(i == 0), 0.0) for i in range(3)}


def test_hours_whose_window_is_over_are_left_as_they_are(desk):
    old, new = new_slate(HOUR), new_slate(HOUR + WINDOW_S + 7200)
    desk.serve(old)
    desk.clock.move(HOUR + 60)
    desk.loader.load()
    desk.hourly.run()
    desk.serve(new)
    desk.clock.move(HOUR + WINDOW_S + 7300)
    desk.loader.load()
    assert desk.hourly.run() == 2  # the first is looked at once more, for the job was away while it might be clicked
    desk.happen(old, 1, "click", HOUR + WINDOW_S + 7400)
    desk.loader.load()
    assert desk.hourly.run() == 1
    assert desk.report()[HOUR, "learnt", "i0"] == (1, 0, 0, 0.0)
    assert {hour for hour, *_ in desk.report()} == {HOUR, HOUR + WINDOW_S + 7200}


def test_an_order_due_to_a_slate_of_long_ago_is_in_the_report_of_its_hour(desk):
    old, untouched = new_slate(HOUR), new_slate(HOUR + 3600)
    desk.serve(old, untouched)
    desk.clock.move(HOUR + 7000)
    desk.loader.load()
    desk.hourly.run()
    ordered_at = HOUR + 5 * WINDOW_S
    desk.happen(old, 1, "conversion", ordered_at, value=80.0, event_id="o1")
    desk.happen(old, 1, "return", ordered_at + 1, value=30.0, event_id="o1")
    desk.happen(old, 0, "conversion", ordered_at + 2, value=5.0, event_id="o2")
    desk.clock.move(ordered_at + 60)
    desk.serve(new_slate(ordered_at))
    desk.loader.load()
    desk.hourly.run()
    desk.happen(old, 1, "conversion", ordered_at + 61, value=7.0, event_id="o3")
    desk.loader.load()
    assert desk.hourly.run() == 2  # the slate of now and the one of long ago
    assert desk.report()[HOUR, "learnt", "i0"] == (1, 1, 0, 57.0)
    assert desk.report()[HOUR + 3600, "learnt", "i0"] == (1, 0, 0, 0.0)


def test_without_anything_served_there_is_no_report_and_nothing_is_counted(desk):
    assert desk.hourly.run() == 0
    assert desk.report() == {}
    assert desk.store.keys() == []


def test_counts_of_events_by_type_in_the_warehouse_are_those_of_the_bus(desk):
    slate = new_slate(HOUR)
    desk.serve(slate)
    kinds = ["impression", "click", "impression", "like"]
    for kind in kinds:
        desk.happen(slate, 1, kind, HOUR + 1)
    desk.loader.load()
    found = {row["type"]: row["n"] for row in desk.rows("SELECT type, count(*) AS n FROM events GROUP BY 1")}
    assert found == Counter(kinds)
