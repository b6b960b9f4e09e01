"""The event bus and its log in one SQLite table."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from omakase.adapters.local.database import Database, Durability, durability_of
from omakase.adapters.local.rewriting import rewrite_bodies
from omakase.adapters.uri import Uri
from omakase.ports.event_bus import Logged, Message

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    offset INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE CHECK (length(key) = 16),
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    units INTEGER NOT NULL,
    body BLOB
);
CREATE TABLE IF NOT EXISTS total (kind TEXT PRIMARY KEY, units INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO total VALUES ('deliveries', 0), ('events', 0), ('propensities', 0), ('discards', 0);
CREATE TABLE IF NOT EXISTS consumer (name TEXT PRIMARY KEY, acknowledged INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trimmed (one INTEGER PRIMARY KEY CHECK (one = 1), through INTEGER NOT NULL);
INSERT OR IGNORE INTO trimmed VALUES (1, 0);
"""

# ON CONFLICT (key), not OR IGNORE: that would also swallow a row that breaks any other rule of the table.
_APPEND = "INSERT INTO log (key, at, kind, units, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
# Many rows in one statement: one by one costs a third more, and hands the interpreter's lock over with each.
_CHUNK = 50
_APPEND_CHUNK = _APPEND.replace("(?, ?, ?, ?, ?)", ", ".join(["(?, ?, ?, ?, ?)"] * _CHUNK))
_COUNT = """
INSERT INTO total SELECT kind, sum(units) FROM log WHERE offset > ? GROUP BY kind
ON CONFLICT (kind) DO UPDATE SET units = units + excluded.units
"""
_READ = "SELECT offset, key, at, body, kind, units FROM log WHERE offset > max(?, ?) ORDER BY offset LIMIT ?"
_ACKNOWLEDGE = """
INSERT INTO consumer VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET acknowledged = max(acknowledged, excluded.acknowledged)
RETURNING acknowledged
"""
_TRIM_STEP = 10_000


class SqliteEventLog:
    """EventBus and EventLog.

    Offsets are SQLite's rowids: the newest plus one, fixed by the one writer at a time, and an ignored duplicate takes
    none. They are never given twice, because the newest row is never dropped. `trim` drops the bodies at once but
    keeps the keys of the last `remembered` messages, so that a publisher that repeats a call whose outcome it did not
    learn adds nothing even if everything was consumed meanwhile.
    """

    def __init__(self, path: Path, durability: Durability = "os", remembered: int = 1_000_000) -> None:
        self._database = Database(path, _SCHEMA, durability)
        self._remembered = remembered

    @classmethod
    def from_uri(cls, uri: Uri) -> SqliteEventLog:
        return cls(uri.path("durability"), durability_of(uri))

    def publish(self, messages: Sequence[Message]) -> None:
        """See EventBus. Cost: one transaction."""
        rows = [(message.key, message.at, message.kind, message.units, message.body) for message in messages]
        with self._database.write() as connection:
            last = _last_offset(connection)
            whole = len(rows) - len(rows) % _CHUNK
            for start in range(0, whole, _CHUNK):
                connection.execute(_APPEND_CHUNK, [*chain.from_iterable(rows[start : start + _CHUNK])])
            connection.executemany(_APPEND, rows[whole:])
            connection.execute(_COUNT, (last,))

    def read(self, after: int, limit: int) -> list[Logged]:
        """See EventLog."""
        with self._database.read() as connection:
            through = _trimmed_through(connection)
            rows = connection.execute(_READ, (after, through, limit)).fetchall()
        return [Logged(offset, Message(*message)) for offset, *message in rows]

    def last_offset(self) -> int:
        """See EventLog."""
        with self._database.read() as connection:
            return _last_offset(connection)

    def totals(self) -> Mapping[str, int]:
        """See EventLog. Kinds that were never published are there, with 0."""
        with self._database.read() as connection:
            return dict(connection.execute("SELECT kind, units FROM total").fetchall())

    def acknowledge(self, consumer: str, offset: int) -> int:
        """See EventLog."""
        with self._database.write() as connection:
            (acknowledged,) = connection.execute(_ACKNOWLEDGE, (consumer, offset)).fetchone()
        return int(acknowledged)

    def trim(self) -> int:
        """See EventLog. Works in short transactions, so that publishers hardly wait."""
        total = 0
        while dropped := self._trim_step():
            total += dropped
        return total

    def rewrite(self, mentioning: Sequence[bytes], change: Callable[[bytes], bytes]) -> int:
        """See EventLog."""
        return rewrite_bodies(self._database, "log", "offset", mentioning, change)

    def _trim_step(self) -> int:
        with self._database.write() as connection:
            start = _trimmed_through(connection)
            last = _last_offset(connection)
            (wanted,) = connection.execute("SELECT coalesce(min(acknowledged), 0) FROM consumer").fetchone()
            end = min(wanted, last - 1, start + _TRIM_STEP)
            if end <= start:
                return 0
            connection.execute("UPDATE log SET body = NULL WHERE offset > ? AND offset <= ?", (start, end))
            connection.execute("DELETE FROM log WHERE offset <= ?", (min(end, last - self._remembered),))
            connection.execute("UPDATE trimmed SET through = ?", (end,))
            return int(end - start)


def _last_offset(connection: sqlite3.Connection) -> int:
    (last,) = connection.execute("SELECT coalesce(max(offset), 0) FROM log").fetchone()
    return int(last)


def _trimmed_through(connection: sqlite3.Connection) -> int:
    (through,) = connection.execute("SELECT through FROM trimmed").fetchone()
    return int(through)
