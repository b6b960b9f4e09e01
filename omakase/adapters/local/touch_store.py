"""Touches in SQLite."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from omakase.adapters.local.database import Database, Durability, durability_of
from omakase.adapters.uri import Uri
from omakase.core.ids import Pseudonym, RequestId
from omakase.ports.touches import Touch, Touched

# A row is all that one request told of one slate: a row for each event would write ten times as many pages of the
# indexes by person, which have no order in time.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS touch (
    request_id BLOB NOT NULL,
    at REAL NOT NULL,
    unit TEXT,
    user TEXT,
    served_at REAL NOT NULL,
    placement TEXT NOT NULL,
    variant TEXT NOT NULL,
    policy TEXT NOT NULL,
    items TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS touch_by_age ON touch (at);
CREATE INDEX IF NOT EXISTS touch_by_unit ON touch (unit, at) WHERE unit IS NOT NULL;
CREATE INDEX IF NOT EXISTS touch_by_user ON touch (user, at) WHERE user IS NOT NULL;
"""
_NOTE = "INSERT INTO touch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_OF = """
SELECT rowid, * FROM touch WHERE {who} = ? AND at BETWEEN ? AND ? ORDER BY at DESC, request_id DESC, rowid DESC LIMIT ?
"""
_EXPIRE = "DELETE FROM touch WHERE rowid IN (SELECT rowid FROM touch WHERE at < ? ORDER BY at LIMIT ?)"
_EXPIRE_STEP = 10_000


class SqliteTouches:
    """Touches."""

    def __init__(self, path: Path, durability: Durability = "os") -> None:
        self._database = Database(path, _SCHEMA, durability)

    @classmethod
    def from_uri(cls, uri: Uri) -> SqliteTouches:
        return cls(uri.path("durability"), durability_of(uri))

    def note(self, touches: Sequence[Touch]) -> None:
        """See Touches. Cost: one transaction, two or three index entries a touch."""
        rows = [_row(touch) for touch in touches if touch.unit or touch.user]
        if rows:
            with self._database.write() as connection:
                connection.executemany(_NOTE, rows)

    def of(self, people: Collection[Pseudonym], since: float, until: float, limit: int) -> list[Touch]:
        """See Touches."""
        found: dict[int, Touch] = {}
        with self._database.read() as connection:
            for person in people:
                for who in ("unit", "user"):
                    rows = connection.execute(_OF.format(who=who), (person, since, until, limit))
                    found.update((rowid, _touch(*row)) for rowid, *row in rows)
        newest = sorted(found.items(), key=lambda entry: (entry[1].at, entry[1].request_id, entry[0]), reverse=True)
        return [touch for _, touch in newest[:limit]]

    def expire(self, before: float) -> int:
        """See Touches. Cost: one short transaction."""
        with self._database.write() as connection:
            return connection.execute(_EXPIRE, (before, _EXPIRE_STEP)).rowcount

    def forget(self, people: Collection[Pseudonym]) -> int:
        """See Touches. Guarantees: all or none."""
        forgotten = 0
        with self._database.write() as connection:
            for person in people:
                for who in ("unit", "user"):
                    forgotten += connection.execute(f"DELETE FROM touch WHERE {who} = ?", (person,)).rowcount  # noqa: S608
        return forgotten


def _row(touch: Touch) -> tuple[object, ...]:
    return (
        touch.request_id,
        touch.at,
        touch.unit or None,
        touch.user or None,
        touch.served_at,
        touch.placement,
        touch.variant,
        touch.policy,
        json.dumps(touch.items, ensure_ascii=False, separators=(",", ":")),
    )


def _touch(
    request_id: bytes,
    at: float,
    unit: str | None,
    user: str | None,
    served_at: float,
    placement: str,
    variant: str,
    policy: str,
    items: str,
) -> Touch:
    touched = tuple(Touched(*item) for item in json.loads(items))
    who = Pseudonym(unit or ""), Pseudonym(user or "")
    return Touch(RequestId(request_id), at, *who, served_at, placement, variant, policy, touched)
