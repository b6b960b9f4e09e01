"""The aggregates as time goes by: what late rows touch is made anew, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batch.aggregates import DAY_S, Aggregates
from batch.upkeep import Upkeep
from omakase.adapters import open_warehouse
from omakase.adapters.local.clock import MappedClock
from omakase.ports.warehouse import Warehouse
from tests.contract.conftest import Storage
from tests.contract.test_aggregates import check
from tests.integration.test_batch import HOUR, WINDOW_S, Desk
from tests.integration.test_tracking import new_slate

DAY = int(HOUR // DAY_S * DAY_S)
MIDNIGHT = DAY + DAY_S


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def at(desk, moment):
    """Load what is on the bus, and aggregate. Returns how many hours were written."""
    desk.clock.move(moment)
    desk.loader.load()
    return desk.aggregate()


def hourly(desk):
    return sorted(desk.rows("SELECT * FROM hourly"), key=str)


def test_slates_and_events_that_were_loaded_twice_count_once(desk):
    slate = new_slate(HOUR)
    desk.serve(slate)
    desk.happen(slate, 1, "conversion", HOUR + 1, value=5.0)
    desk.loader.load()
    for table in ("deliveries", "events"):
        rows = desk.rows(f"SELECT * FROM {table}")
        desk.warehouse.append(table, "again", rows)
    desk.clock.move(HOUR + 60)
    desk.aggregate()
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
    desk.aggregate()
    assert desk.report() == {(HOUR, "learnt", f"i{i}"): (1, int(i == 0), int(i == 0), 0.0) for i in range(3)}


def test_a_click_in_a_later_hour_counts_for_the_hour_of_serving(desk):
    slate = new_slate(HOUR + 3500)
    desk.serve(slate)
    desk.clock.move(HOUR + 3600)
    desk.loader.load()
    assert desk.aggregate() == 1
    assert desk.report()[HOUR, "learnt", "i0"] == (1, 0, 0, 0.0)
    desk.happen(slate, 1, "click", HOUR + 5 * 3600)
    desk.clock.move(HOUR + 6 * 3600)
    desk.loader.load()
    assert desk.aggregate() == 1
    assert desk.report() == {(HOUR, "learnt", f"i{i}"): (1, int(i == 0), int(i == 0), 0.0) for i in range(3)}


def test_an_order_due_to_a_slate_of_long_ago_is_in_the_report_of_its_hour(desk):
    old, untouched = new_slate(HOUR), new_slate(HOUR + 3600)
    desk.serve(old, untouched)
    desk.clock.move(HOUR + 7000)
    desk.loader.load()
    desk.aggregate()
    ordered_at = HOUR + 5 * WINDOW_S
    desk.happen(old, 1, "conversion", ordered_at, value=80.0, event_id="o1")
    desk.happen(old, 1, "return", ordered_at + 1, value=30.0, event_id="o1")
    desk.happen(old, 0, "conversion", ordered_at + 2, value=5.0, event_id="o2")
    desk.clock.move(ordered_at + 60)
    desk.serve(new_slate(ordered_at))
    desk.loader.load()
    desk.aggregate()
    desk.happen(old, 1, "conversion", ordered_at + 61, value=7.0, event_id="o3")
    desk.loader.load()
    assert desk.aggregate() == 1  # that of long ago, and not that of now
    assert desk.report()[HOUR, "learnt", "i0"] == (1, 1, 0, 57.0)
    assert desk.report()[HOUR + 3600, "learnt", "i0"] == (1, 0, 0, 0.0)


def test_without_anything_served_there_is_no_report_and_nothing_is_counted(desk):
    assert desk.aggregate() == 0
    assert desk.report() == {}
    assert desk.store.keys() == []


def test_an_event_of_any_kind_touches_the_hour_of_its_slate_however_old_it_is_and_no_other(desk):
    old, new = new_slate(HOUR), new_slate(HOUR + 2 * WINDOW_S)
    desk.serve(old)
    assert at(desk, HOUR + 60) == 1
    desk.serve(new)
    assert at(desk, HOUR + 2 * WINDOW_S + 60) == 1
    desk.happen(old, 1, "click", HOUR + 2 * WINDOW_S + 61)
    assert at(desk, HOUR + 2 * WINDOW_S + 90) == 1
    assert desk.report()[HOUR, "learnt", "i0"] == (1, 1, 1, 0.0)
    desk.happen(new_slate(HOUR + 2 * WINDOW_S + 91), 0, "conversion", HOUR + 2 * WINDOW_S + 91, value=5.0)
    assert at(desk, HOUR + 2 * WINDOW_S + 120) == 0


def test_a_job_that_was_away_for_days_finds_all_that_came_meanwhile(desk):
    first = new_slate(HOUR)
    desk.serve(first)
    at(desk, HOUR + 60)
    for day in range(1, 6):
        desk.serve(new_slate(HOUR + day * DAY_S))
        desk.happen(first, 1 + day % 3, "impression", HOUR + day * DAY_S + 1)
    assert at(desk, HOUR + 6 * DAY_S) == 6
    assert desk.report()[HOUR, "learnt", "i0"][1] == 1


def test_a_record_that_was_stuck_for_longer_than_the_window_is_counted_from_midnight_on(desk):
    desk.serve(new_slate(HOUR + 5 * DAY_S))
    at(desk, HOUR + 5 * DAY_S + 60)
    stuck = new_slate(HOUR)
    desk.serve(stuck)
    desk.happen(stuck, 1, "click", HOUR + 1)
    assert at(desk, HOUR + 5 * DAY_S + 120) == 0
    assert at(desk, MIDNIGHT + 5 * DAY_S) == 1
    assert desk.report()[HOUR, "learnt", "i0"] == (1, 1, 1, 0.0)


def test_a_day_is_made_anew_whatever_came_and_no_other(desk):
    for moment in (DAY - 1, DAY, MIDNIGHT - 1, MIDNIGHT):
        slate = new_slate(moment)
        desk.serve(slate)
        desk.happen(slate, 1, "click", moment + 1)
    at(desk, MIDNIGHT + 3600)
    right = hourly(desk)
    for hour in {row["hour"] for row in right}:
        wrong = [{**row, "clicks": 99} for row in right if row["hour"] == hour]
        desk.warehouse.append("hourly", f"hour_{hour}", wrong)
    assert desk.aggregate() == 0
    told = []
    written = replace(desk.aggregates, progress=lambda done, total: told.append((done, total))).run_day(DAY)
    assert (written.hours, written.rows) == (2, 6)
    assert told == [(0, 2), (2, 2)]
    assert [row for row in hourly(desk) if row["clicks"] != 99] == [
        row for row in right if DAY <= row["hour"] < MIDNIGHT
    ]


def test_hours_whose_deliveries_were_dropped_stay_as_they_were(desk):
    slate = new_slate(HOUR)
    desk.serve(slate)
    at(desk, HOUR + 60)
    desk.serve(new_slate(HOUR + 3 * DAY_S))
    at(desk, HOUR + 3 * DAY_S)
    before = hourly(desk)
    Upkeep(desk.warehouse, None, desk.clock, 2 * DAY_S).retain()
    desk.happen(slate, 1, "click", HOUR + 3 * DAY_S + 1)
    assert at(desk, HOUR + 3 * DAY_S + 60) == 0
    assert desk.aggregates.run_day(DAY).hours == 0
    assert hourly(desk) == before


def test_a_retention_that_died_half_way_takes_nothing_from_the_aggregates(desk):
    slate = new_slate(HOUR)
    desk.serve(slate)
    at(desk, HOUR + 60)
    before = hourly(desk)
    desk.warehouse.expire("deliveries", int(HOUR) + 3600)
    desk.happen(slate, 1, "click", HOUR + 61)
    assert at(desk, HOUR + 120) == 0
    assert hourly(desk) == before


def test_what_a_run_that_crossed_this_one_made_of_fewer_rows_is_made_again(desk):
    slate = new_slate(HOUR)
    desk.serve(slate)
    at(desk, HOUR + 60)
    of_fewer = hourly(desk)
    desk.happen(slate, 1, "click", HOUR + 61)
    at(desk, HOUR + 120)
    right = hourly(desk)
    desk.warehouse.append("hourly", f"hour_{int(HOUR)}", of_fewer)
    assert desk.aggregate() == 1
    assert hourly(desk) == right


def test_a_run_that_died_before_it_wrote_an_hour_is_made_up_for(desk):
    class Dying:
        """A warehouse that can no longer be written from the second hour on."""

        def __init__(self, warehouse: Warehouse) -> None:
            self.query = warehouse.query
            self._warehouse, self._hours = warehouse, 0

        def append(self, table, part, rows):
            self._hours += table == "hourly"
            if self._hours > 1:
                raise SystemExit
            self._warehouse.append(table, part, rows)

    desk.serve(new_slate(HOUR), new_slate(HOUR + 3600), new_slate(HOUR + 7200))
    desk.clock.move(HOUR + 8000)
    desk.loader.load()
    with pytest.raises(SystemExit):
        Aggregates(Dying(desk.warehouse), desk.clock, WINDOW_S).run()
    assert desk.aggregate() == 2
    assert {hour for hour, *_ in desk.report()} == {HOUR, HOUR + 3600, HOUR + 7200}


def test_positions_and_conversions_are_told_apart(desk):
    slate = replace(new_slate(HOUR), variant="control")
    desk.serve(slate)
    desk.happen(slate, 2, "conversion", HOUR + 1, value=8.0, event_id="kept")
    desk.happen(slate, 2, "conversion", HOUR + 2, value=5.0, event_id="back")
    desk.happen(slate, 2, "return", HOUR + 3, event_id="back")
    at(desk, HOUR + 60)
    found = {row["position"]: (row["item_id"], row["conversions"], row["value"]) for row in hourly(desk)}
    assert found == {1: ("i0", 0, 0.0), 2: ("i1", 1, 8.0), 3: ("i2", 0, 0.0)}


def test_hours_that_are_aggregated_one_by_one_are_what_they_are_together(tmp_path, monkeypatch):
    monkeypatch.setattr("batch.aggregates._TOGETHER", 5)
    clock = MappedClock.create(tmp_path / "clock", HOUR)
    check(Storage(f"duckdb:{tmp_path}/warehouse", open_warehouse), clock, seed=2, rounds=2)
