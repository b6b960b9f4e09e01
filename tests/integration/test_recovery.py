"""A trainer whose memory was lost, or its bus."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from dataflow.recovery import recover
from dataflow.trainer import CONSUMER
from omakase.adapters.local.training_state import SqliteTrainingState
from tests.integration.stage import START
from tests.integration.test_tracking import new_slate
from tests.integration.test_trainer import Desk, assert_same, expected


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def reborn(desk: Desk, directory: Path) -> Desk:
    """The next process, after its memory was deleted."""
    del desk
    for file in directory.glob("training.db*"):
        file.unlink()
    found = Desk(directory)
    found.publisher._shard = "embedded-2"
    found._numbers = itertools.count(1000)  # tracking goes on: its receipts are never the same
    recover(found.bus, found.state, CONSUMER)
    return found


def test_learns_nothing_twice_and_balances(desk, tmp_path):
    first, second = new_slate(), new_slate()
    desk.receive(first)
    desk.happen(first, (1, "impression"), (1, "click"))
    desk.tick(START + 20)
    desk.receive(second)
    found = reborn(desk, tmp_path)
    assert found.state.progress().cursor < found.bus.last_offset()
    found.happen(second, (2, "click"))
    found.tick(START + 40)
    assert_same(found.learnt(), expected((first, 1, 1.0), (second, 2, 1.0)))
    found.trainer.drain()
    assert found.ends() == ({"lost": 3, "learnt": 1, "unseen": 2}, {"lost": 2, "used": 1})
    deliveries, events = found.state.account()
    totals = found.bus.totals()
    assert (deliveries.total, events.total) == (totals["deliveries"], totals["events"])


def test_what_was_lost_and_is_clicked_again_still_balances(desk, tmp_path):
    slate = new_slate()
    desk.receive(slate)
    desk.tick(START + 1)
    found = reborn(desk, tmp_path)
    found.happen(slate, (1, "click"))
    found.tick(START + 40)
    assert_same(found.learnt(), expected((slate, 1, 1.0)))
    found.trainer.drain()
    assert found.ends() == ({"lost": 3, "learnt": 1, "unseen": -1}, {"used": 1})


def test_says_what_is_not_known_any_more(desk, tmp_path, caplog):
    slate = new_slate()
    desk.receive(slate)
    desk.happen(slate, (1, "click"))
    desk.tick(START + 1)
    desk.bus.trim()
    reborn(desk, tmp_path)
    assert "what became of 3 deliveries and 1 events is not known" in caplog.text


def test_a_memory_that_is_there_or_was_never_needed_is_left_alone(desk, tmp_path):
    recover(desk.bus, desk.state, CONSUMER)
    assert desk.state.progress().number == 0
    desk.receive(new_slate())
    recover(desk.bus, desk.state, CONSUMER)
    assert desk.state.progress().number == 0
    desk.tick(START + 1)
    before = desk.state.progress()
    recover(desk.bus, SqliteTrainingState(tmp_path / "training.db"), CONSUMER)
    assert desk.state.progress() == before


def test_where_the_bus_was_lost_the_new_one_is_read_from_its_start(desk, tmp_path, caplog):
    first, second = new_slate(), new_slate()
    desk.receive(first)
    for at in (1, 2):
        desk.happen(first, (at, "click"))
        desk.tick(START + 20 * at)
    for file in tmp_path.glob("bus.db*"):
        file.unlink()
    found = Desk(tmp_path)
    found._numbers = itertools.count(1000)
    found.receive(second)
    recover(found.bus, found.state, CONSUMER)
    assert "the bus was lost" in caplog.text
    found.happen(second, (1, "click"))
    found.tick(START + 80)
    assert_same(found.learnt(), expected((first, 1, 1.0), (first, 2, 1.0), (second, 1, 1.0)))
    caplog.clear()
    recover(found.bus, found.state, CONSUMER)
    assert not caplog.text
