"""Models made anew from the warehouse, beside a trainer that goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omakase import models
from omakase.adapters.local.model_store import FileModelStore
from omakase.adapters.local.training_state import SqliteTrainingState
from omakase.core.errors import Conflict, InvalidInput, Unavailable
from omakase.core.learners import LinearLearner
from omakase.core.slates import Slate
from omakase.ports.model_store import ModelKey
from omakase.repairs.history import Choice
from omakase.repairs.rebuilding import Rebuilder
from omakase.rows import delivery_rows
from tests.integration.stage import START
from tests.integration.test_tracking import new_slate
from tests.integration.test_trainer import KEY, Desk, assert_same, expected

ALL = Choice()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def rebuilder(desk: Desk) -> Rebuilder:
    return Rebuilder(desk.store, desk.state, desk.warehouse, "embedded")


def load(desk: Desk, *slates: Slate) -> None:
    """What `batch` does."""
    rows = [row for slate in slates for row in delivery_rows(slate)]
    desk.warehouse.append("deliveries", f"loaded_{slates[0].request_id.hex()}", rows)


def learn(desk: Desk, slates: Sequence[Slate], kind: str = "click") -> None:
    """The first item of each slate was seen, one tick each, from now on."""
    desk.receive(*slates)
    for slate in slates:
        desk.happen(slate, (1, kind))
        desk.tick(desk.clock.now() + 10)


def sequences(desk: Desk) -> dict[str, int]:
    return dict(models.newest(desk.store, KEY).snapshot.sequences)


def test_a_rebuilt_model_holds_what_was_learnt_corrected_and_taken_back(desk):
    first, second, third = new_slate(), new_slate(), new_slate()
    learn(desk, [first, second, third], "impression")
    desk.happen(second, (1, "click"))
    desk.tick(START + 100)
    before = desk.learnt()
    rebuilt = rebuilder(desk).rebuild(KEY, ALL, None, now=50.0)
    assert_same(desk.learnt(), before)
    assert_same(desk.learnt(), expected((first, 1, 0.0), (second, 1, 1.0), (third, 1, 0.0)))
    assert (rebuilt.rows, rebuilt.warnings) == (4, ())
    found = models.newest(desk.store, KEY).snapshot
    assert (found.published_at, found.frozen, found.reason) == (50.0, False, "rebuilt from 4 rows")
    assert sequences(desk) == {"embedded": 4}


def test_the_trainer_goes_on_after_a_rebuild_as_if_nothing_had_happened(desk):
    first, second = new_slate(), new_slate()
    learn(desk, [first])
    rebuilder(desk).rebuild(KEY, ALL, None, now=0.0)
    learn(desk, [second])
    assert_same(desk.learnt(), expected((first, 1, 1.0), (second, 1, 1.0)))


def test_batches_that_were_committed_and_not_published_are_in_it_and_learnt_once(desk, monkeypatch):
    first, second = new_slate(), new_slate()
    learn(desk, [first])
    with monkeypatch.context() as away:
        away.setattr("dataflow.publishing.Publisher.publish", lambda *_, **__: None)
        learn(desk, [second])
    assert len(desk.state.pending()) == 1
    rebuilder(desk).rebuild(KEY, ALL, None, now=0.0)
    assert_same(desk.learnt(), expected((first, 1, 1.0), (second, 1, 1.0)))
    desk.tick(START + 100)
    assert desk.state.pending() == []
    assert_same(desk.learnt(), expected((first, 1, 1.0), (second, 1, 1.0)))


def test_examples_of_a_tick_that_was_not_committed_are_left_out(desk, tmp_path, monkeypatch):
    first, second = new_slate(), new_slate()
    learn(desk, [first])
    desk.receive(second)
    desk.happen(second, (1, "click"))
    with monkeypatch.context() as dying:
        dying.setattr(SqliteTrainingState, "commit", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            desk.tick(START + 50)
    rebuilder(desk).rebuild(KEY, ALL, None, now=0.0)
    assert_same(desk.learnt(), expected((first, 1, 1.0)))
    Desk(tmp_path).tick(START + 60)
    assert_same(desk.learnt(), expected((first, 1, 1.0), (second, 1, 1.0)))


def test_what_the_trainer_learns_meanwhile_is_in_it_once(desk, monkeypatch):
    first, second, third = new_slate(), new_slate(), new_slate()
    learn(desk, [first])
    query = type(desk.warehouse).query
    waiting = [second]

    def overtaken(self: Any, sql: str, parameters: Any = ()) -> Any:
        rows = query(self, sql, parameters)
        if "context_factor" in sql and waiting:
            learn(desk, [waiting.pop()])
        return rows

    monkeypatch.setattr(type(desk.warehouse), "query", overtaken)
    rebuilder(desk).rebuild(KEY, ALL, None, now=0.0)
    assert not waiting
    assert_same(desk.learnt(), expected((first, 1, 1.0), (second, 1, 1.0)))
    learn(desk, [third])
    assert_same(desk.learnt(), expected((first, 1, 1.0), (second, 1, 1.0), (third, 1, 1.0)))


def test_it_is_written_again_when_the_trainer_published_first(desk, monkeypatch):
    first, second = new_slate(), new_slate()
    learn(desk, [first])
    with monkeypatch.context() as away:
        away.setattr("dataflow.publishing.Publisher.publish", lambda *_, **__: None)
        learn(desk, [second])
    publish = FileModelStore.publish

    def overtaken(self: FileModelStore, key: ModelKey, body: bytes, *, if_generation: Any) -> Any:
        monkeypatch.undo()
        desk.publisher.publish()
        with pytest.raises(Conflict):
            publish(self, key, body, if_generation=if_generation)
        raise Conflict("overtaken")

    monkeypatch.setattr(FileModelStore, "publish", overtaken)
    assert rebuilder(desk).rebuild(KEY, ALL, None, now=0.0).published.generation == 3
    assert_same(desk.learnt(), expected((first, 1, 1.0), (second, 1, 1.0)))


def test_a_corrupt_model_is_made_anew_and_learns_on(desk, tmp_path):
    first, second = new_slate(), new_slate()
    learn(desk, [first, second])
    (newest,) = tmp_path.glob("models/*/2.snapshot")
    newest.write_bytes(b"rotten")
    rebuilt = rebuilder(desk).rebuild(KEY, ALL, None, now=0.0)
    assert rebuilt.published.generation == 3
    assert "could not be read" in rebuilt.warnings[0]
    assert_same(desk.learnt(), expected((first, 1, 1.0), (second, 1, 1.0)))
    third = new_slate()
    learn(desk, [third])
    assert_same(desk.learnt(), expected((first, 1, 1.0), (second, 1, 1.0), (third, 1, 1.0)))


def test_a_model_that_was_rolled_back_stays_frozen_until_it_is_resumed(desk):
    first, second, third = new_slate(), new_slate(), new_slate()
    learn(desk, [first, second])
    models.roll_back(desk.store, KEY, None, START)
    rebuilt = rebuilder(desk).rebuild(KEY, ALL, None, now=0.0)
    assert rebuilt.published.snapshot.frozen
    assert rebuilt.published.snapshot.reason == "rebuilt from 2 rows, still frozen: rollback to 1"
    learn(desk, [third])
    assert_same(desk.learnt(), expected((first, 1, 1.0), (second, 1, 1.0)))
    models.resume(desk.store, KEY, START)
    desk.tick(desk.clock.now() + 1)
    assert_same(desk.learnt(), expected((first, 1, 1.0), (second, 1, 1.0), (third, 1, 1.0)))


def test_takes_only_the_time_that_was_asked_for(desk):
    slates = [new_slate(START + 4000 * i) for i in range(3)]
    for slate in slates:
        desk.clock.move(slate.served_at)
        learn(desk, [slate])
    rebuilder(desk).rebuild(KEY, Choice(START + 4000, START + 8000), None, now=0.0)
    assert_same(desk.learnt(), expected((slates[1], 1, 1.0)))
    assert sequences(desk) == {"embedded": 3}


def test_leaves_out_what_is_excluded_with_its_corrections(desk):
    good, bad = new_slate(), replace(new_slate(), variant="test")
    learn(desk, [good, bad], "impression")
    desk.happen(bad, (1, "click"))
    desk.tick(START + 100)
    load(desk, good, bad)
    rebuilt = rebuilder(desk).rebuild(KEY, Choice(exclude="variant = 'test' -- the poisoned one"), None, now=0.0)
    assert rebuilt.rows == 1
    assert_same(desk.learnt(), expected((good, 1, 0.0)))


def test_a_condition_that_is_unknown_of_a_row_does_not_exclude_it(desk):
    slate = replace(new_slate(), unit="")
    learn(desk, [slate])
    load(desk, slate)
    desk.warehouse.forget(["user"])
    rebuilder(desk).rebuild(KEY, Choice(exclude="\"user\" = 'user'"), None, now=0.0)
    assert_same(desk.learnt(), expected((slate, 1, 1.0)))


def test_refuses_to_guess_about_deliveries_that_are_not_in_the_warehouse(desk):
    slate = new_slate()
    learn(desk, [slate])
    with pytest.raises(Unavailable, match="1 examples of clicks/abc served at 2025-10-09 08:00 UTC have no row"):
        rebuilder(desk).rebuild(KEY, Choice(exclude="variant = 'test'"), None, now=0.0)
    assert models.newest(desk.store, KEY).generation == 1


@pytest.mark.parametrize("condition", ["varaint = 'test'", "variant ="])
def test_refuses_a_condition_that_is_none(desk, condition):
    learn(desk, [new_slate()])
    with pytest.raises(InvalidInput, match="exclude is no condition"):
        rebuilder(desk).rebuild(KEY, Choice(exclude=condition), None, now=0.0)


def test_refuses_to_publish_nothing(desk):
    learn(desk, [new_slate()])
    with pytest.raises(InvalidInput, match="holds no such examples"):
        rebuilder(desk).rebuild(KEY, Choice(since=START + 1e6), None, now=0.0)


def test_says_which_batches_the_warehouse_has_lost(desk):
    slates = [new_slate(START + 4000 * i) for i in range(3)]
    for slate in slates:
        desk.clock.move(slate.served_at)
        learn(desk, [slate])
    hours = desk.warehouse.query("SELECT DISTINCT hour FROM examples ORDER BY hour")
    desk.warehouse.expire("examples", hours[1]["hour"])
    rebuilt = rebuilder(desk).rebuild(KEY, ALL, None, now=0.0)
    assert_same(desk.learnt(), expected((slates[1], 1, 1.0), (slates[2], 1, 1.0)))
    assert rebuilt.warnings == (
        "the warehouse has no examples of batches 1 to 1 of embedded any more: what was learnt from them is not in it",
    )


def test_reads_in_chunks_and_comes_to_the_same(desk, monkeypatch):
    slates = [new_slate() for _ in range(9)]
    desk.receive(*slates)
    for slate in slates:
        desk.happen(slate, (1, "impression"), (2, "click"))
    desk.tick(START + 10)
    monkeypatch.setattr("omakase.repairs.history.CHUNK", 4)
    seen: list[tuple[int, int]] = []
    rebuilder(desk).rebuild(KEY, ALL, None, 0.0, lambda done, total: seen.append((done, total)))
    assert_same(desk.learnt(), expected(*((slate, p, p - 1.0) for slate in slates for p in (1, 2))))
    assert seen[0] == (18, 18)


def test_keeps_the_half_life_of_the_model(desk):
    half = 3600.0
    learners = {KEY: LinearLearner(0, 0, half_life_s=half)}
    desk.trainer = replace(desk.trainer, pipeline=replace(desk.trainer.pipeline, learners=learners))
    for slate in (new_slate(START), new_slate(START + 4000)):
        desk.clock.move(slate.served_at)
        learn(desk, [slate])
    before = desk.learnt()
    rebuilder(desk).rebuild(KEY, ALL, None, now=0.0)
    assert_same(desk.learnt(), before)
    assert (desk.learnt().half_life_s, desk.learnt().weight) == (half, pytest.approx(1 + 2 ** -(4000 / half)))


def test_what_a_lost_memory_had_learnt_is_rebuilt_too(desk, tmp_path, monkeypatch):
    first, second, third = new_slate(), new_slate(), new_slate()
    learn(desk, [first, second])
    for file in tmp_path.glob("training.db*"):
        file.unlink()
    reborn = Desk(tmp_path)
    reborn.bus.trim()
    reborn.trainer = replace(reborn.trainer, shard="embedded-2")
    monkeypatch.setattr(reborn.publisher, "_shard", "embedded-2")
    learn(reborn, [third])
    rebuilt = Rebuilder(reborn.store, reborn.state, reborn.warehouse, "embedded-2").rebuild(KEY, ALL, None, now=0.0)
    assert rebuilt.warnings == ()
    assert_same(reborn.learnt(), expected((first, 1, 1.0), (second, 1, 1.0), (third, 1, 1.0)))
    assert sequences(reborn)["embedded"] == 2


def test_without_a_snapshot_the_half_life_must_be_given(desk, tmp_path):
    learn(desk, [new_slate()])
    for file in tmp_path.glob("models/*/*"):
        file.unlink()
    with pytest.raises(InvalidInput, match="give --config"):
        rebuilder(desk).rebuild(KEY, ALL, None, now=0.0)


def test_a_rollback_from_a_corrupt_snapshot_learns_nothing_twice(desk, tmp_path):
    slates = [new_slate() for _ in range(4)]
    learn(desk, slates[:3])
    (newest,) = tmp_path.glob("models/*/3.snapshot")
    newest.write_bytes(b"rotten")
    learn(desk, slates[3:])
    assert len(desk.state.pending()) == 1
    settled = models.settled(desk.state, desk.state, "embedded", KEY)
    assert settled == {"embedded": 3}
    published = models.roll_back(desk.store, KEY, None, START, settled)
    assert (published.generation, published.snapshot.reason) == (4, "rollback to 2")
    models.resume(desk.store, KEY, START)
    desk.tick(desk.clock.now() + 1)
    assert_same(desk.learnt(), expected(*((slates[i], 1, 1.0) for i in (0, 1, 3))))
