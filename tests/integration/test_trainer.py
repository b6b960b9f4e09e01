"""The bounded trainer: the real pipeline over real stores, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dataflow.__main__ import build
from dataflow.bounded import Pipeline
from dataflow.publishing import Publisher
from dataflow.trainer import Trainer
from omakase import models
from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.delivery_store import SqliteDeliveryStore
from omakase.adapters.local.event_log import SqliteEventLog
from omakase.adapters.local.model_store import FileModelStore
from omakase.adapters.local.training_state import SqliteTrainingState
from omakase.adapters.local.warehouse import FileWarehouse
from omakase.core.errors import Corrupt
from omakase.core.events import Event
from omakase.core.features import cross
from omakase.core.posterior import Statistics
from omakase.core.rewards import RewardTable
from omakase.core.sessions import SessionRules
from omakase.core.slates import Slate
from omakase.ports.event_bus import Message
from omakase.ports.model_store import ModelKey
from omakase.settings import TrainerSettings
from omakase.snapshots import decode_snapshot
from omakase.wire import SpooledSlate, encode_slate
from tests.integration.stage import START
from tests.integration.test_tracking import new_slate
from tracking.intake import Intake

KEY = ModelKey("clicks/abc")
RULES = SessionRules(gap_s=10, max_s=60, reward_window_s=1000, allowed_lateness_s=10)


class Desk:
    """Tracking's writer and a trainer over one directory. Opened again, it is the next process."""

    def __init__(self, directory: Path, max_messages: int = 1000) -> None:
        path = directory / "clock"
        self.clock = MappedClock(path) if path.exists() else MappedClock.create(path, START)
        self.bus = SqliteEventLog(directory / "bus.db")
        self.store = FileModelStore(directory / "models")
        self.state = SqliteTrainingState(directory / "training.db")
        self.warehouse = FileWarehouse(directory / "warehouse")
        self.deliveries = SqliteDeliveryStore(directory / "deliveries.db")
        self.publisher = Publisher(self.store, self.state, self.clock, {}, "embedded", 0.0, lambda: 0.0)
        self.trainer = Trainer(
            log=self.bus,
            state=self.state,
            warehouse=self.warehouse,
            publisher=self.publisher,
            pipeline=Pipeline(RULES, {"home": RewardTable()}, {KEY: (1, 2)}, 2),
            clock=self.clock,
            shard="embedded",
            max_messages=max_messages,
        )
        self._numbers = itertools.count()

    def receive(self, *slates: Slate) -> None:
        self._store(slates=[SpooledSlate.of(encode_slate(slate)) for slate in slates])

    def happen(self, slate: Slate, *kinds: tuple[int, str], at: float | None = None) -> None:
        """(position, type) events of one slate, received now or `at`."""
        now = self.clock.now() if at is None else at
        self._store(
            events=[
                Event(next(self._numbers).to_bytes(16, "big"), slate.request_id, position, kind, now)
                for position, kind in kinds
            ]
        )

    def _store(self, **work: Sequence[Any]) -> None:
        intake = Intake(
            self.bus,
            self.deliveries,
            self.clock,
            orphan_wait_s=60,
            keep_s=1000,
            sweep_s=0.001,
            max_queued=10_000,
            max_queued_bytes=10**8,
            store_timeout_s=30,
        )
        intake.start()
        asyncio.run(intake.accept(work["events"]) if "events" in work else intake.record(work["slates"]))
        intake.stop()

    def tick(self, at: float) -> None:
        self.clock.move(at)
        while self.trainer.tick():
            pass

    def learnt(self) -> Statistics:
        found = self.store.latest(KEY)
        return Statistics.empty(4) if found is None else decode_snapshot(found[0]).statistics

    def ends(self) -> tuple[dict[str, int], dict[str, int]]:
        deliveries, events = self.state.account()
        assert deliveries.is_balanced, deliveries
        assert events.is_balanced, events
        return dict(deliveries.ends), dict(events.ends)


def expected(*examples: tuple[Slate, int, float]) -> Statistics:
    """The sums over (slate, position, click)."""
    x = np.array(
        [cross(slate.context_factor, slate.deliveries[position - 1].item_factor) for slate, position, _ in examples]
    )
    clicks = np.array([click for _, _, click in examples])
    return Statistics.of(x, {"click": clicks, "reward": clicks}, np.ones(len(examples)))


def assert_same(found: Statistics, wanted: Statistics) -> None:
    assert found.examples == wanted.examples
    assert_allclose(found.precision, wanted.precision)
    for name in ("click", "reward"):
        assert_allclose(found.outcomes[name].moment, wanted.outcomes[name].moment)
        assert_allclose(found.outcomes[name].energy, wanted.outcomes[name].energy)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_learns_what_was_seen_when_its_session_closes(desk):
    slate, other = new_slate(), new_slate()
    desk.receive(slate, other)
    desk.happen(slate, (1, "impression"), (2, "impression"), (2, "click"))
    desk.happen(other, (3, "click"))
    desk.tick(START + 5)
    assert desk.learnt().examples == 0
    desk.tick(START + 10)
    assert_same(desk.learnt(), expected((slate, 1, 0.0), (slate, 2, 1.0), (other, 3, 1.0)))
    deliveries, events = desk.ends()
    assert (deliveries, events) == ({"learnt": 2, "learnt_without_click": 1}, {"used": 4})


def test_a_late_click_corrects_and_never_counts_its_features_twice(desk):
    slate = new_slate()
    desk.receive(slate)
    desk.happen(slate, (1, "impression"))
    desk.tick(START + 10)
    desk.happen(slate, (1, "click"), (1, "click"))
    desk.tick(START + 30)
    assert_same(desk.learnt(), expected((slate, 1, 1.0)))
    assert desk.ends() == ({"learnt": 1}, {"used": 1, "corrected_late": 1, "duplicate": 1})


def test_what_nobody_saw_is_never_learnt(desk):
    slate = new_slate()
    desk.receive(slate)
    desk.happen(slate, (1, "impression"))
    desk.tick(START + 2000)
    assert desk.learnt().examples == 1
    assert desk.ends()[0] == {"learnt_without_click": 1, "unseen": 2}


def test_a_variant_without_a_model_is_counted_and_not_learnt(desk):
    slate = replace(new_slate(), model="", context_factor=np.empty(0, np.float32))
    desk.receive(slate)
    desk.happen(slate, (1, "impression"), (1, "click"))
    desk.tick(START + 20)
    assert desk.store.keys() == []
    assert desk.ends() == ({"not_trainable": 3}, {"used": 2})


def test_dying_between_commit_and_publish_loses_nothing(desk, tmp_path, monkeypatch):
    slate = new_slate()
    desk.receive(slate)
    desk.happen(slate, (1, "click"))
    monkeypatch.setattr(Publisher, "publish", lambda *_, **__: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        desk.tick(START + 10)
    monkeypatch.undo()
    reborn = Desk(tmp_path)
    reborn.tick(START + 11)
    assert_same(reborn.learnt(), expected((slate, 1, 1.0)))


def test_dying_between_publish_and_noting_it_learns_nothing_twice(desk, tmp_path, monkeypatch):
    slate = new_slate()
    desk.receive(slate)
    desk.happen(slate, (1, "click"))
    monkeypatch.setattr(SqliteTrainingState, "settle", lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        desk.tick(START + 10)
    monkeypatch.undo()
    assert_same(desk.learnt(), expected((slate, 1, 1.0)))
    reborn = Desk(tmp_path)
    assert len(reborn.state.pending()) == 1
    reborn.tick(START + 11)
    assert reborn.state.pending() == []
    assert_same(reborn.learnt(), expected((slate, 1, 1.0)))


def test_a_second_trainer_waits_its_turn_and_writes_over_no_example(desk, tmp_path, monkeypatch):
    slate = new_slate()
    desk.receive(slate)
    desk.happen(slate, (1, "click"))
    rival = threading.Thread(target=Desk(tmp_path).trainer.tick)
    append = FileWarehouse.append

    def interrupted(self: FileWarehouse, *arguments: Any) -> None:
        monkeypatch.undo()
        desk.happen(slate, (2, "impression"), at=START)
        rival.start()
        rival.join(1.0)  # time enough for a whole tick, if it did not wait
        append(self, *arguments)

    monkeypatch.setattr(FileWarehouse, "append", interrupted)
    desk.tick(START + 10)
    rival.join()
    (kept,) = desk.warehouse.query("SELECT count(*) AS n FROM examples")
    assert kept["n"] == desk.learnt().examples == 2


def test_adds_again_when_somebody_else_wrote_the_model_first(desk, monkeypatch):
    first, second = new_slate(), new_slate()
    desk.receive(first, second)
    desk.happen(first, (1, "click"))
    desk.tick(START + 10)
    desk.happen(second, (2, "impression"))
    publish = FileModelStore.publish

    def overtaken(self: FileModelStore, key: ModelKey, body: bytes, *, if_generation: Any) -> Any:
        monkeypatch.undo()
        models.roll_back(self, key, models.newest(self, key).generation, START)
        models.resume(self, key, START)
        return publish(self, key, body, if_generation=if_generation)

    monkeypatch.setattr(FileModelStore, "publish", overtaken)
    desk.tick(START + 20)
    assert_same(desk.learnt(), expected((first, 1, 1.0), (second, 2, 0.0)))


def test_a_trainer_that_was_away_for_days_finds_nothing_too_late(desk, tmp_path):
    slates = [new_slate(START + i) for i in range(20)]
    for slate in slates:
        desk.clock.move(slate.served_at)
        desk.receive(slate)
        desk.happen(slate, (1, "impression"))
    away = Desk(tmp_path, max_messages=7)
    away.tick(START + 500_000)
    assert away.learnt().examples == 20
    assert away.ends()[1] == {"used": 20}


def test_a_message_that_cannot_be_read_is_set_aside_and_counted(desk):
    slate = new_slate()
    desk.bus.publish([Message(b"x" * 16, START, b"\xffnonsense")])
    desk.receive(slate)
    desk.happen(slate, (1, "click"))
    desk.tick(START + 10)
    assert_same(desk.learnt(), expected((slate, 1, 1.0)))
    assert desk.ends()[1] == {"used": 1, "rejected": 1}


def test_features_that_do_not_fit_their_model_are_set_aside_and_stop_nobody(desk):
    odd = replace(new_slate(), context_factor=np.zeros(3, dtype=np.float32))
    slate = new_slate()
    desk.receive(odd, slate)
    desk.happen(odd, (1, "click"))
    desk.happen(slate, (1, "click"))
    desk.tick(START + 10)
    assert_same(desk.learnt(), expected((slate, 1, 1.0)))
    assert desk.ends()[1] == {"used": 1, "rejected": 1}


def test_a_frozen_model_waits_and_learns_what_waited_when_resumed(desk):
    first, second, third = new_slate(), new_slate(), new_slate()
    desk.receive(first, second, third)
    desk.happen(first, (1, "click"))
    desk.tick(START + 10)
    desk.happen(second, (1, "click"))
    desk.tick(START + 20)
    models.roll_back(desk.store, KEY, None, START)
    assert_same(desk.learnt(), expected((first, 1, 1.0)))
    desk.happen(third, (1, "impression"))
    desk.tick(START + 40)
    assert_same(desk.learnt(), expected((first, 1, 1.0)))
    models.resume(desk.store, KEY, START)
    desk.tick(START + 41)
    assert_same(desk.learnt(), expected((first, 1, 1.0), (third, 1, 0.0)))


def test_what_waits_for_a_frozen_model_becomes_one_batch(desk, monkeypatch):
    monkeypatch.setattr("dataflow.publishing._MANY", 3)
    slates = [new_slate() for _ in range(6)]
    desk.receive(*slates)
    for at, slate in enumerate(slates, start=1):
        desk.happen(slate, (1, "click"))
        desk.tick(START + 10 * at)
        if at == 2:
            models.roll_back(desk.store, KEY, None, START)
    assert [(batch.first, batch.last) for batch in desk.state.pending()] == [(3, 5), (6, 6)]
    models.resume(desk.store, KEY, START)
    desk.tick(START + 100)
    learnt = [slate for at, slate in enumerate(slates, start=1) if at != 2]
    assert_same(desk.learnt(), expected(*((slate, 1, 1.0) for slate in learnt)))
    assert desk.state.pending() == []


def test_a_corrupt_model_is_not_overwritten_and_its_batches_wait(desk, caplog):
    slate = new_slate()
    desk.store.publish(KEY, b"nonsense", if_generation=desk.store.generation(KEY))
    desk.receive(slate)
    desk.happen(slate, (1, "click"))
    desk.tick(START + 10)
    assert len(desk.state.pending()) == 1
    assert "waits with its batches" in caplog.text
    with pytest.raises(Corrupt):
        models.newest(desk.store, KEY)


def test_a_drain_leaves_nothing_open(desk):
    slates = [new_slate() for _ in range(5)]
    desk.receive(*slates)
    for slate in slates[:3]:
        desk.happen(slate, (1, "impression"))
    desk.trainer.drain()
    deliveries, events = desk.state.account()
    assert (deliveries.open, events.open) == (0, 0)
    assert desk.ends() == ({"learnt_without_click": 3, "unseen": 12}, {"used": 3})
    assert desk.learnt().examples == 3


def test_examples_reach_the_warehouse_as_they_were_learnt(desk):
    slate = new_slate()
    desk.receive(slate)
    desk.happen(slate, (2, "impression"))
    desk.tick(START + 10)
    desk.happen(slate, (2, "click"))
    desk.tick(START + 30)
    rows = desk.warehouse.query("SELECT sequence, item_id, click, click_before, item_factor FROM examples ORDER BY 1")
    assert [(row["item_id"], row["click"], row["click_before"]) for row in rows] == [
        ("i1", 0.0, None),
        ("i1", 1.0, 0.0),
    ]
    factor = rows[0]["item_factor"]
    assert isinstance(factor, bytes)
    assert np.frombuffer(factor, "<f4").tolist() == slate.deliveries[1].item_factor.tolist()


def test_notes_which_generation_first_holds_a_click(desk):
    slate = new_slate()
    desk.receive(slate)
    desk.happen(slate, (1, "click"))
    desk.tick(START + 10)
    assert desk.state.publishes() == [(KEY, 1, START + 10, (START,))]


PRODUCT = """
placements:
  home:
    variants: {control: {share: 10000, policy: chance}}
policies:
  chance: {type: uniform}
learning: {session_gap_s: 10, session_max_s: 60, reward_window_s: 1000, publish_interval_s: 0}
"""


def test_a_trainer_that_lost_its_memory_does_not_take_what_is_new_for_learnt_before(desk, tmp_path):
    (tmp_path / "product.yaml").write_text(PRODUCT)
    settings = TrainerSettings(
        config=str(tmp_path / "product.yaml"),
        keys="",
        clock=f"mapped:{tmp_path / 'clock'}",
        bus=f"sqlite:{tmp_path / 'bus.db'}",
        models=f"file:{tmp_path / 'models'}",
        warehouse=f"duckdb:{tmp_path / 'warehouse'}",
        state=f"sqlite:{tmp_path / 'training.db'}",
    )
    first, second = new_slate(), new_slate()
    desk.receive(first)
    desk.happen(first, (1, "click"))
    desk.clock.move(START + 20)
    build(settings).tick()
    desk.receive(second)
    desk.bus.trim()
    for file in tmp_path.glob("training.db*"):
        file.unlink()
    desk.happen(second, (1, "click"))
    desk.clock.move(START + 40)
    build(settings).tick()
    assert_same(desk.learnt(), expected((first, 1, 1.0), (second, 1, 1.0)))
