"""One job, once: its name, its day, and what is said of it."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from batch.jobs import JOBS, Means, named, scheduled
from batch.once import day_of, run_once
from batch.progress import shown
from batch.schedule import Job
from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.dead_letters import SqliteDeadLetters
from omakase.adapters.local.event_log import SqliteEventLog
from omakase.adapters.local.forgotten import SqliteForgotten
from omakase.adapters.local.model_store import FileModelStore
from omakase.adapters.local.warehouse import FileWarehouse
from omakase.cli.batch import batch
from omakase.config import parse_product
from omakase.core.errors import InvalidInput
from omakase.settings import BatchSettings
from tests.integration.stage import PRODUCT

NOON = 1_790_000_000 // 86_400 * 86_400 + 43_200


@pytest.fixture
def means(tmp_path) -> Any:
    """Those of a deployment whose warehouse a pipeline fills: there is no bus, and no state."""
    settings = BatchSettings(config="c", keys="k", models="m", warehouse="w")
    return Means(
        settings,
        parse_product(PRODUCT),
        MappedClock.create(tmp_path / "clock", NOON),
        FileWarehouse(tmp_path / "warehouse"),
        FileModelStore(tmp_path / "models"),
        lambda: named(settings.bus, "OMAKASE_BUS"),  # type: ignore[arg-type,return-value]
        lambda: SqliteDeadLetters(tmp_path / "never.db"),
        lambda: named(settings.deliveries, "OMAKASE_DELIVERIES"),  # type: ignore[arg-type,return-value]
    )


@pytest.mark.parametrize("name", ["aggregate", "context-free", "examination", "compact", "retain"])
def test_a_pipeline_s_warehouse_needs_neither_a_bus_nor_a_state(means, name):
    assert run_once(name, means, None).startswith(f"{name}: 0 ")


@pytest.mark.parametrize("name", ["load", "trim"])
def test_what_reads_the_bus_says_which_setting_it_needs(means, name):
    with pytest.raises(InvalidInput, match="needs OMAKASE_BUS, which is not set"):
        run_once(name, means, None)


def test_forget_says_that_it_needs_to_know_where_the_forgotten_are(means):
    with pytest.raises(InvalidInput, match="needs OMAKASE_DELIVERIES, which is not set"):
        run_once("forget", means, None)


def test_a_scheduler_that_is_not_told_who_was_forgotten_runs_everything_else(means, tmp_path):
    told = means.settings.model_copy(update={"state": str(tmp_path), "bus": "b"})
    means = replace(means, settings=told, bus=lambda: SqliteEventLog(tmp_path / "bus.db"))
    assert JOBS.keys() - scheduled(means).keys() == {"forget"}
    told = told.model_copy(update={"deliveries": "d"})
    forgotten = SqliteForgotten(tmp_path / "deliveries.db")
    assert scheduled(replace(means, settings=told, forgotten=lambda: forgotten)).keys() == JOBS.keys()


def test_an_unknown_job_is_an_error_that_names_the_one_that_was_meant(means):
    with pytest.raises(InvalidInput, match=r"there is no job 'agregate'; did you mean 'aggregate'\?"):
        run_once("agregate", means, None)


@pytest.mark.parametrize("name", ["compact", "retain"])
def test_a_job_without_days_refuses_one(means, name):
    with pytest.raises(InvalidInput, match=f"{name} has no days"):
        run_once(name, means, "2026-01-01")


@pytest.mark.parametrize("name", ["aggregate", "context-free", "examination"])
def test_what_is_made_of_days_takes_any(means, name):
    assert run_once(name, means, "1999-12-31").startswith(f"{name}: 0 ")


def test_a_day_starts_at_midnight_utc_and_today_is_one():
    assert day_of("1970-01-02", NOON) == 86_400
    assert day_of("2026-09-21", NOON) == NOON - 43_200


@pytest.mark.parametrize("text", ["", "21.9.2026", "2026-9-21", "2026-02-30", "yesterday", "2026-09-21T00:00"])
def test_what_is_no_day_is_an_error_with_an_example(text):
    with pytest.raises(InvalidInput, match="must be a day such as 2026-11-20, UTC"):
        day_of(text, NOON)


def test_a_day_to_come_is_an_error_that_says_what_day_it_is():
    with pytest.raises(InvalidInput, match="--date 2026-09-22 is still to come: today is 2026-09-21, UTC"):
        day_of("2026-09-22", NOON)


def test_the_command_s_help_names_every_job():
    assert all(f"`{name}`" in str(batch.__doc__) for name in JOBS)


def test_progress_is_a_bar_on_a_terminal_and_lines_of_the_log_elsewhere(caplog):
    caplog.set_level(logging.INFO)
    screen = io.StringIO()
    with shown("aggregate", Console(file=screen, force_terminal=True, width=60)) as progress:
        progress(1, 2)
        progress(2, 2)
    assert "aggregate" in screen.getvalue()
    assert not caplog.records
    with shown("aggregate", Console(file=screen, force_terminal=False)) as progress:
        for done in range(1001):
            progress(done, 1000)
    assert [record.getMessage() for record in caplog.records] == ["aggregate: 0 of 1000", "aggregate: 1000 of 1000"]


def test_what_was_done_is_said_in_numbers(means, monkeypatch):
    job = Job(lambda: {"hours": 3, "rows": 12}, 1.0)
    monkeypatch.setitem(JOBS, "aggregate", lambda _: job)
    assert run_once("aggregate", means, None) == "aggregate: 3 hours, 12 rows"
