"""A model is rebuilt beside a stream whose parts come into the warehouse in any order and late.

Whatever happens meanwhile: a published model holds exactly the batches that its sequences claim, each once; and when
all is learnt, it holds everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from dataflow.examples import example_row
from dataflow.publishing import batch_of
from dataflow.sequences import Release
from omakase import models
from omakase.adapters.local.model_store import FileModelStore
from omakase.adapters.local.training_state import SqliteTrainingState
from omakase.core.errors import Conflict, InvalidInput, Unavailable
from omakase.core.events import Joined
from omakase.core.ids import NOBODY
from omakase.core.posterior import Statistics
from omakase.core.sessions import Example
from omakase.core.tables import TABLES
from omakase.core.training import summarise
from omakase.models import Published
from omakase.ports.model_store import Generation, ModelKey
from omakase.ports.pending_batches import Batch
from omakase.ports.warehouse import Cell, Row, Table
from omakase.repairs.history import Choice
from omakase.repairs.rebuilding import HELD, Rebuilder

KEY, SHARD, NOW = ModelKey("clicks/abc"), "stream-1", 1_790_000_000.0
ALL = Choice()
FEW = settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a failure takes a second a step
    suppress_health_check=[HealthCheck.too_slow],
)


class Overtaken(FileModelStore):
    """Lets somebody else go first when a snapshot is about to be written by hand."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.first: Callable[[], object] = lambda: None

    def publish(self, key: ModelKey, body: bytes, *, if_generation: Generation) -> Generation:
        first, self.first = self.first, lambda: None
        first()
        return super().publish(key, body, if_generation=if_generation)


class Memory:
    """A warehouse of examples, in memory: the same engine, without files, for hundreds of questions."""

    def __init__(self) -> None:
        self._engine = duckdb.connect()
        types = {"text": "VARCHAR", "integer": "BIGINT", "float": "DOUBLE", "bytes": "BLOB"}
        columns = ", ".join(f"{name} {types[kind]}" for name, kind in TABLES["examples"].items())
        self._engine.execute(f"CREATE TABLE examples ({columns})")

    def append(self, table: Table, part: str, rows: Sequence[Row]) -> None:
        marks = ", ".join("?" for _ in TABLES[table])
        for row in rows:
            self._engine.execute(f"INSERT INTO {table} VALUES ({marks})", [row[name] for name in TABLES[table]])

    def query(self, sql: str, parameters: Sequence[Cell] = ()) -> list[dict[str, Cell]]:
        found = self._engine.execute(sql, list(parameters))
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


class Stream:
    """One model's writer, as `LearnBatches` is, and history that is on its way."""

    def __init__(self, directory: Path) -> None:
        self.store = Overtaken(directory / "models")
        self.warehouse: Any = Memory()
        self.rebuilder = Rebuilder(
            self.store, SqliteTrainingState(directory / "t.db"), self.warehouse, "embedded-1", patience_s=30.0
        )
        self.batches: list[list[Example]] = []
        self.under_way: list[int] = []
        self._pending: Sequence[Batch] = ()
        self._release = Release(lambda: self.store, {}, SHARD, 1.0, lambda: NOW)

    def learn(self) -> None:
        """A batch is counted, and its examples set off."""
        number = len(self.batches) + 1
        self.batches.append([_example(number, k) for k in range(1 + number % 2)])
        self._pending = [*self._pending, batch_of(KEY, summarise(self.batches[-1]), (), number)]
        self.under_way.append(number)

    def publish(self) -> None:
        self._pending = self._release.publish(self.store, SHARD, self._pending).pending()

    def arrive(self, which: int) -> None:
        """A part is written."""
        if self.under_way:
            number = self.under_way.pop(which % len(self.under_way))
            rows = [example_row(SHARD, number, example) for example in self.batches[number - 1]]
            self.warehouse.append("examples", f"stream_{number}", rows)

    def do(self, actions: Sequence[int]) -> None:
        for action in actions:
            if action < 0:
                self.learn()
                self.publish()
            else:
                self.arrive(action)

    def current(self) -> Published:
        return models.newest(self.store, KEY)

    def assert_holds_what_it_claims(self) -> None:
        snapshot = self.current().snapshot
        claimed = self.batches[: snapshot.sequences.get(SHARD, 0)]
        assert_same(snapshot.statistics, summarise([example for batch in claimed for example in batch]))


def _example(number: int, k: int) -> Example:
    delivery = Joined(
        served_at=NOW,
        placement="home",
        variant="a",
        policy="p",
        unit=NOBODY,
        model=KEY,
        item_id="i",
        context_factor=np.array([1.0, number], dtype=np.float32),
        item_factor=np.array([1.0], dtype=np.float32),
    )
    outcomes = {"click": float(k), "reward": float(k)}
    return Example(delivery, outcomes, 1.0, NOW, request_id=bytes([number, k] * 8), position=1)


def assert_same(found: Statistics, wanted: Statistics) -> None:
    assert found.examples == wanted.examples
    assert_allclose(found.precision, wanted.precision)


ACTIONS = st.lists(st.integers(-1, 3), max_size=5)


@FEW
@given(
    before=st.lists(st.integers(-1, 3), min_size=1, max_size=8),
    reading=ACTIONS,
    writing=ACTIONS,
    waiting=st.lists(ACTIONS, min_size=3, max_size=3),
)
def test_holds_what_it_claims_whatever_comes_meanwhile_and_everything_in_the_end(
    before: list[int], reading: list[int], writing: list[int], waiting: list[list[int]]
) -> None:
    with TemporaryDirectory() as directory:
        stream = Stream(Path(directory))
        stream.do([-1, *before])
        turns = iter(waiting)
        object.__setattr__(stream.rebuilder, "wait", lambda _: stream.do(next(turns)))
        stream.store.first = lambda: stream.do(writing)
        try:
            stream.rebuilder.rebuild(KEY, ALL, None, NOW, lambda *_: stream.do([reading.pop()] if reading else []))
        except (Unavailable, InvalidInput):
            is_late = bool(stream.under_way)
            assert is_late
        assert not stream.current().snapshot.frozen
        stream.assert_holds_what_it_claims()
        while stream.under_way:
            stream.arrive(0)
        stream.publish()
        stream.assert_holds_what_it_claims()
        assert stream.current().snapshot.sequences == {SHARD: len(stream.batches)}
        stream.rebuilder.rebuild(KEY, ALL, None, NOW)
        stream.assert_holds_what_it_claims()


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    return Stream(tmp_path)


def test_waits_for_a_batch_below_one_that_is_there_and_the_stream_s_own_wait_meanwhile(stream: Stream) -> None:
    stream.do([-1, -1, -1, 2, 0])  # the third comes first, the second never
    said: list[str] = []

    def wait(_: float) -> None:
        said.append(stream.current().snapshot.reason)
        for _ in range(40):  # so many that they are merged
            stream.learn()
            stream.publish()
        stream.arrive(0)

    object.__setattr__(stream.rebuilder, "wait", wait)
    rebuilt = stream.rebuilder.rebuild(KEY, ALL, None, NOW)
    assert (said, rebuilt.rows) == ([HELD], 5)
    assert rebuilt.published is not None
    assert rebuilt.published.snapshot.sequences == {SHARD: 3}
    stream.publish()
    assert stream.current().snapshot.sequences == {SHARD: 43}
    stream.assert_holds_what_it_claims()


def test_refuses_when_it_does_not_come_says_what_and_leaves_the_model_learning(stream: Stream) -> None:
    stream.do([-1, -1, 1])
    object.__setattr__(stream.rebuilder, "wait", lambda _: None)
    with pytest.raises(Unavailable, match=r"after 30 s: it waits for batch 1 of stream-1 \(of 2 so far\).*--ended str"):
        stream.rebuilder.rebuild(KEY, ALL, None, NOW)
    stream.do([-1])
    assert stream.current().snapshot.sequences == {SHARD: 3}
    stream.assert_holds_what_it_claims()


def test_without_a_job_that_has_ended_takes_what_is_there_and_names_what_is_lost(stream: Stream) -> None:
    stream.do([-1, -1, -1, 1])
    stream.learn()  # and never published
    stream.do([2])
    object.__setattr__(stream.rebuilder, "ended", (SHARD,))
    rebuilt = stream.rebuilder.rebuild(KEY, ALL, None, NOW)
    assert rebuilt.rows == 2
    assert [warning.partition(" of ")[2] for warning in rebuilt.warnings] == [
        "batches 1 to 1 of stream-1 any more: what was learnt from them is not in it",
        "1 later batches of stream-1: they are not in it",
    ]
    assert stream.current().snapshot.sequences == {SHARD: 4}


def test_what_a_running_job_has_still_to_publish_is_left_to_it(stream: Stream) -> None:
    stream.do([-1, 0])
    stream.learn()
    stream.arrive(0)
    rebuilt = stream.rebuilder.rebuild(KEY, ALL, None, NOW)
    assert (rebuilt.rows, rebuilt.warnings[0]) == (
        2,
        "batches of stream-1 after 1 are left to the job that learns them; if it has ended, --ended stream-1 takes "
        "them too",
    )
    stream.publish()
    stream.assert_holds_what_it_claims()
    assert stream.current().snapshot.sequences == {SHARD: 2}


def test_who_resumes_the_model_meanwhile_is_told(stream: Stream) -> None:
    stream.do([-1])

    def wait(_: float) -> None:
        models.resume(stream.store, KEY, NOW)
        stream.do([-1, -1, 0])

    object.__setattr__(stream.rebuilder, "wait", wait)
    with pytest.raises((Conflict, Unavailable)):
        stream.rebuilder.rebuild(KEY, ALL, None, NOW)
    stream.assert_holds_what_it_claims()
