"""The trainer's memory in one SQLite file."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import astuple
from pathlib import Path

from omakase.adapters.local import dead_letters
from omakase.adapters.local.database import Database, Durability, durability_of
from omakase.adapters.local.files import disk_errors, locked
from omakase.adapters.uri import Uri
from omakase.core.accounting import DELIVERIES, EVENTS, RECEIVED, SERVED, DeadCount, Side
from omakase.core.calibration import Calibration
from omakase.core.errors import Conflict
from omakase.core.ids import RequestId
from omakase.ports.model_store import Generation, ModelKey
from omakase.ports.pending_batches import Batch
from omakase.ports.training_state import Progress, Tick

_SCHEMA = """
CREATE TABLE IF NOT EXISTS progress (
    one INTEGER PRIMARY KEY CHECK (one = 1), tick INTEGER NOT NULL, cursor INTEGER NOT NULL, closed_before REAL NOT NULL
);
INSERT OR IGNORE INTO progress VALUES (1, 0, 0, -9e999);
CREATE TABLE IF NOT EXISTS incarnation (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL);
INSERT OR IGNORE INTO incarnation VALUES (1, lower(hex(randomblob(4))));
CREATE TABLE IF NOT EXISTS slate (
    request_id BLOB PRIMARY KEY,
    body BLOB NOT NULL,
    due_at REAL NOT NULL,
    open_events INTEGER NOT NULL,
    open_deliveries INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS slate_due ON slate (due_at);
CREATE TABLE IF NOT EXISTS tally (side TEXT, name TEXT, count INTEGER NOT NULL, PRIMARY KEY (side, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sequence (model TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending (
    model TEXT, first INTEGER, last INTEGER NOT NULL, statistics BLOB NOT NULL, clicks BLOB NOT NULL,
    calibration BLOB NOT NULL, PRIMARY KEY (model, first)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS publishes (
    model TEXT, generation INTEGER, published_at REAL NOT NULL, clicks BLOB NOT NULL, PRIMARY KEY (model, generation)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS watermark (one INTEGER PRIMARY KEY CHECK (one = 1), at REAL NOT NULL);
INSERT OR IGNORE INTO watermark VALUES (1, -9e999);
"""
_ADVANCE = "UPDATE progress SET tick = ?, cursor = ?, closed_before = max(closed_before, ?)"
_PROGRESS = "SELECT tick, cursor, closed_before, at FROM progress, watermark"
_KEEP_SLATE = "INSERT OR REPLACE INTO slate VALUES (?, ?, ?, ?, ?)"
_COUNT = "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"
_NEXT = "INSERT INTO sequence VALUES (?, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last"
_PEND = "INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?)"
_WITHIN = "FROM pending WHERE model = ? AND first >= ? AND last <= ?"
_PUBLISHED = "INSERT INTO publishes VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_KEEP_PUBLISHES = 10_000
# SQLite's bound on parameters is far higher; this keeps statements small enough to be cached.
_IN = 500


class SqliteTrainingState:
    """TrainingState and PendingBatches: they change together. A slate is one row, indexed by when it is due."""

    def __init__(self, path: Path, durability: Durability = "os") -> None:
        self._database = Database(path, _SCHEMA + dead_letters.SCHEMA, durability)
        self._turn = path.with_name(path.name + ".trainer.lock")

    @classmethod
    def from_uri(cls, uri: Uri) -> SqliteTrainingState:
        return cls(uri.path("durability"), durability_of(uri))

    def incarnation(self) -> str:
        """See TrainingState."""
        with self._database.read() as connection:
            return str(connection.execute("SELECT name FROM incarnation").fetchone()[0])

    @contextmanager
    def held(self) -> Iterator[None]:
        """See TrainingState."""
        with ExitStack() as turn:
            with disk_errors(f"take turns by {self._turn}"):
                turn.enter_context(locked(self._turn))
            yield

    def progress(self) -> Progress:
        """See TrainingState."""
        with self._database.read() as connection:
            return _progress(connection)

    def load(self, request_ids: Iterable[RequestId], due_by: float) -> Mapping[RequestId, bytes]:
        """See TrainingState."""
        wanted = list(dict.fromkeys(request_ids))
        with self._database.read() as connection:
            found = dict(connection.execute("SELECT request_id, body FROM slate WHERE due_at <= ?", (due_by,)))
            for start in range(0, len(wanted), _IN):
                some = wanted[start : start + _IN]
                marks = ", ".join("?" * len(some))
                found.update(
                    connection.execute(f"SELECT request_id, body FROM slate WHERE request_id IN ({marks})", some)  # noqa: S608
                )
        return found

    def commit(self, tick: Tick) -> None:
        """See TrainingState. Cost: one transaction."""
        with self._database.write() as connection:
            number, new = _progress(connection).number, tick.progress
            if new.number != number + 1:
                raise Conflict(f"tick {new.number} does not follow {number}: another trainer is at work")
            connection.execute(_ADVANCE, (new.number, new.cursor, new.closed_before))
            connection.execute("UPDATE watermark SET at = max(at, ?)", (new.watermark,))
            gone = [(request_id,) for request_id, state in tick.states.items() if state is None]
            connection.executemany("DELETE FROM slate WHERE request_id = ?", gone)
            kept = [
                (request_id, state.body, state.due_at, state.open_events, state.open_deliveries)
                for request_id, state in tick.states.items()
                if state is not None
            ]
            connection.executemany(_KEEP_SLATE, kept)
            connection.executemany(_COUNT, [(side, name, n) for (side, name), n in tick.tally.items() if n])
            for batch in tick.batches:
                (sequence,) = connection.execute(_NEXT, (batch.key,)).fetchone()
                if (batch.first, batch.last) != (sequence, sequence):
                    raise Conflict(f"batch {batch.first} of {batch.key} does not follow sequence {sequence - 1}")
                connection.execute(_PEND, _row(batch))
            dead_letters.set_aside(connection, tick.dead, tick.replays)

    def pending(self) -> list[Batch]:
        """See PendingBatches."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT model, statistics, clicks, first, last, calibration FROM pending ORDER BY model, first"
            ).fetchall()
        return [
            Batch(ModelKey(key), sums, _unpack(clicks), first, last, _calibration(packed))
            for key, sums, clicks, first, last, packed in rows
        ]

    def merge(self, whole: Batch) -> None:
        """See PendingBatches."""
        within = (whole.key, whole.first, whole.last)
        with self._database.write() as connection:
            (count,) = connection.execute(f"SELECT coalesce(sum(last - first + 1), 0) {_WITHIN}", within).fetchone()
            if count != whole.last - whole.first + 1:
                raise Conflict(f"batches {whole.first} to {whole.last} of {whole.key} are not all pending")
            connection.execute(f"DELETE {_WITHIN}", within)
            connection.execute(_PEND, _row(whole))

    def settle(self, key: ModelKey, through: int, generation: Generation, published_at: float) -> None:
        """See PendingBatches."""
        with self._database.write() as connection:
            parts = connection.execute("SELECT clicks FROM pending WHERE model = ? AND last <= ?", (key, through))
            clicks = b"".join(part for (part,) in parts)
            connection.execute("DELETE FROM pending WHERE model = ? AND last <= ?", (key, through))
            connection.execute(_PUBLISHED, (key, generation, published_at, clicks))
            oldest = generation - _KEEP_PUBLISHES
            connection.execute("DELETE FROM publishes WHERE model = ? AND generation < ?", (key, oldest))

    def account(self) -> tuple[Side, Side]:
        """See TrainingState."""
        with self._database.read() as connection:
            counts = connection.execute("SELECT side, name, count FROM tally").fetchall()
            open_deliveries, open_events = connection.execute(
                "SELECT coalesce(sum(open_deliveries), 0), coalesce(sum(open_events), 0) FROM slate"
            ).fetchone()
            dead = dead_letters.counted(connection)
        deliveries = {name: n for side, name, n in counts if side == DELIVERIES}
        events = {name: n for side, name, n in counts if side == EVENTS}
        return (
            Side.of(deliveries, SERVED, open_deliveries, _units(dead, DELIVERIES)),
            Side.of(events, RECEIVED, open_events, _units(dead, EVENTS)),
        )

    def publishes(self) -> list[tuple[ModelKey, Generation, float, tuple[float, ...]]]:
        """(model, generation, published at, receipt times of the clicks first learnt from in it), oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT model, generation, published_at, clicks FROM publishes ORDER BY published_at"
            ).fetchall()
        return [(ModelKey(key), Generation(n), at, _unpack(clicks)) for key, n, at, clicks in rows]


def _progress(connection: sqlite3.Connection) -> Progress:
    number, cursor, closed_before, watermark = connection.execute(_PROGRESS).fetchone()
    sequences = {ModelKey(key): last for key, last in connection.execute("SELECT model, last FROM sequence")}
    return Progress(number, cursor, closed_before, sequences, watermark)


def _units(dead: Iterable[DeadCount], kind: str) -> int:
    return sum(count.kept + count.dropped for count in dead if count.kind == kind)


def _row(batch: Batch) -> tuple[str, int, int, bytes, bytes, bytes]:
    packed = _pack(astuple(batch.calibration))
    return batch.key, batch.first, batch.last, batch.statistics, _pack(batch.clicks), packed


def _calibration(packed: bytes) -> Calibration:
    examples, predicted, clicks, since = _unpack(packed)
    return Calibration(int(examples), predicted, int(clicks), since)


def _pack(times: Iterable[float]) -> bytes:
    return array("d", times).tobytes()


def _unpack(packed: bytes) -> tuple[float, ...]:
    times = array("d")
    times.frombytes(packed)
    return tuple(times)
