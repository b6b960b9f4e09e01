"""The jobs that keep the warehouse small, after the loader and before the reports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batch.upkeep import Upkeep
from omakase.adapters.local.dead_letters import SqliteDeadLetters
from tests.integration.test_batch import HOUR, Desk
from tests.integration.test_tracking import new_slate

DAY_S = 86_400


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def serve_and_click(desk, at):
    slate = replace(new_slate(at), unit=f"unit-{at}")
    desk.serve(slate)
    desk.happen(slate, 1, "click", at + 1)
    desk.clock.move(at + 2)
    desk.loader.load()


def upkeep_of(desk, retention_s=90 * DAY_S):
    return Upkeep(desk.warehouse, SqliteDeadLetters(desk.directory / "training.db"), desk.clock, retention_s)


def test_reports_are_the_same_from_merged_parts_and_the_loader_goes_on(desk):
    for k in range(6):
        serve_and_click(desk, HOUR + 10 * k)
    desk.aggregate()
    before = desk.report()
    # Of six parts a table, the newest stays by itself and five become one; an hour's report is never merged.
    assert upkeep_of(desk).compact() == 2 * 4
    desk.aggregate()
    assert desk.report() == before
    serve_and_click(desk, HOUR + 100)
    assert (desk.count("deliveries"), desk.count("events")) == (21, 7)


def test_rows_about_people_go_after_the_retention_and_counts_stay(desk):
    serve_and_click(desk, HOUR)
    desk.aggregate()
    serve_and_click(desk, HOUR + DAY_S)
    desk.aggregate()
    desk.clock.move(HOUR + 3 * DAY_S + 3599)
    job = upkeep_of(desk, retention_s=3 * DAY_S)
    assert job.retain() == 0
    desk.clock.move(HOUR + 3 * DAY_S + 3600)
    assert job.retain() == 3  # of deliveries, events and arrivals
    assert desk.rows("SELECT DISTINCT unit FROM deliveries") == [{"unit": f"unit-{HOUR + DAY_S}"}]
    assert desk.count("events") == 1
    assert {hour for hour, *_ in desk.report()} == {HOUR, HOUR + DAY_S}
