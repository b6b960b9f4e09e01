"""Dead letters, in the same SQLite file as the trainer's memory: one transaction changes both."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from omakase.adapters.local.database import Database, Durability, durability_of
from omakase.adapters.local.rewriting import rewrite_bodies
from omakase.adapters.uri import Uri
from omakase.core.accounting import DeadCount
from omakase.ports.dead_letters import DeadLetter

SCHEMA = """
CREATE TABLE IF NOT EXISTS dead_letter (
    number INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    next_key BLOB NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    units INTEGER NOT NULL,
    received_at REAL NOT NULL,
    body BLOB NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS dead_letter_by_age ON dead_letter (received_at, kind, reason, units);
CREATE INDEX IF NOT EXISTS dead_letter_by_reason ON dead_letter (kind, reason, units);
CREATE TABLE IF NOT EXISTS dropped_letter (
    kind TEXT, reason TEXT, units INTEGER NOT NULL, PRIMARY KEY (kind, reason)
) WITHOUT ROWID;
"""
_COLUMNS = "key, kind, units, received_at, body, reason, detail"
_READ = f"""
SELECT number, {_COLUMNS} FROM dead_letter WHERE number < :before AND (:reason IS NULL OR reason = :reason)
ORDER BY number DESC LIMIT :limit
"""  # noqa: S608
_REPLAYED = "DELETE FROM dead_letter WHERE next_key = ? RETURNING next_key, units, received_at"
# A message that came again after the bus forgot its key, and still cannot be used, stands for more in one letter.
_SET_ASIDE = f"""
INSERT INTO dead_letter (next_key, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET units = units + excluded.units
"""  # noqa: S608
_COUNT = """
SELECT kind, reason, sum(kept), sum(dropped) FROM (
    SELECT kind, reason, units AS kept, 0 AS dropped FROM dead_letter
    UNION ALL SELECT kind, reason, 0, units FROM dropped_letter
) GROUP BY kind, reason ORDER BY kind, reason
"""
_DROP = """
INSERT INTO dropped_letter SELECT kind, reason, sum(units) FROM dead_letter WHERE received_at < ? GROUP BY kind, reason
ON CONFLICT DO UPDATE SET units = units + excluded.units
"""
_PAGE = 100


class SqliteDeadLetters:
    """DeadLetters."""

    def __init__(self, path: Path, durability: Durability = "os") -> None:
        self._database = Database(path, SCHEMA, durability)

    @classmethod
    def from_uri(cls, uri: Uri) -> SqliteDeadLetters:
        return cls(uri.path("durability"), durability_of(uri))

    def read(self, reason: str | None = None) -> Iterator[DeadLetter]:
        """See DeadLetters. Letters that come or go meanwhile may be there or not."""
        before = 2**63 - 1
        while True:
            with self._database.read() as connection:
                asked = {"before": before, "reason": reason, "limit": _PAGE}
                rows = connection.execute(_READ, asked).fetchall()
            if not rows:
                return
            before = rows[-1][0]
            yield from (DeadLetter(*row) for _, *row in rows)

    def find(self, key: bytes) -> DeadLetter | None:
        """See DeadLetters."""
        with self._database.read() as connection:
            row = connection.execute(f"SELECT {_COLUMNS} FROM dead_letter WHERE key = ?", (key,)).fetchone()  # noqa: S608
        return None if row is None else DeadLetter(*row)

    def counts(self) -> Sequence[DeadCount]:
        """See DeadLetters."""
        with self._database.read() as connection:
            return counted(connection)

    def expire(self, received_before: float) -> int:
        """See DeadLetters. Cost: one transaction."""
        with self._database.write() as connection:
            connection.execute(_DROP, (received_before,))
            return connection.execute("DELETE FROM dead_letter WHERE received_at < ?", (received_before,)).rowcount

    def rewrite(self, mentioning: Sequence[bytes], change: Callable[[bytes], bytes]) -> int:
        """See DeadLetters."""
        return rewrite_bodies(self._database, "dead_letter", "number", mentioning, change)


def counted(connection: sqlite3.Connection) -> list[DeadCount]:
    """See DeadLetters.counts."""
    return [DeadCount(*row) for row in connection.execute(_COUNT)]


def set_aside(connection: sqlite3.Connection, letters: Iterable[DeadLetter], replays: Iterable[bytes]) -> None:
    """Inside a tick's transaction: letters whose replay was read go, new ones come.

    A replay stands for no units of its own on the bus; if it could not be used either, it takes over what its letter
    stood for, and its age.
    """
    replayed: dict[bytes, tuple[int, float]] = {}
    for key in replays:
        replayed.update({next_key: of for next_key, *of in connection.execute(_REPLAYED, (key,))})
    for letter in letters:
        units, received_at = replayed.get(letter.key, (letter.units, letter.received_at))
        row = (letter.key, letter.kind, units, received_at, letter.body, letter.reason, letter.detail)
        connection.execute(_SET_ASIDE, (letter.next_key, *row))
