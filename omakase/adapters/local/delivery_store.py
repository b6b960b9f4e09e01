"""Delivery records, and the events that wait for one, in SQLite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from pathlib import Path

from omakase.adapters.local.database import Database, Durability, durability_of
from omakase.adapters.uri import Uri
from omakase.core.ids import RequestId
from omakase.ports.delivery_store import Parked, StoredSlate

# `is_ready` is set when the record comes, whichever of the two was first: a sweep that looked for the record of every
# waiting event would cost more with every orphan.
SCHEMA = """
CREATE TABLE IF NOT EXISTS slate (request_id BLOB NOT NULL PRIMARY KEY, served_at REAL NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS slate_by_age ON slate (served_at);
CREATE TABLE IF NOT EXISTS parked (
    receipt_id BLOB NOT NULL PRIMARY KEY,
    request_id BLOB NOT NULL,
    received_at REAL NOT NULL,
    body BLOB NOT NULL,
    is_ready INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS parked_by_request ON parked (request_id);
CREATE INDEX IF NOT EXISTS parked_by_age ON parked (is_ready, received_at);
"""

_PUT = "INSERT INTO slate VALUES (?, ?, ?) ON CONFLICT (request_id) DO NOTHING"
_WAKE = "UPDATE parked SET is_ready = 1 WHERE request_id = ? AND is_ready = 0"
_PARK = """
INSERT INTO parked SELECT :receipt_id, :request_id, :received_at, :body,
    EXISTS (SELECT 1 FROM slate WHERE request_id = :request_id)
WHERE true ON CONFLICT (receipt_id) DO NOTHING
"""
_DUE = """
SELECT * FROM (SELECT receipt_id, request_id, received_at, body FROM parked
    WHERE is_ready = 1 ORDER BY received_at LIMIT :limit)
UNION ALL
SELECT * FROM (SELECT receipt_id, request_id, received_at, body FROM parked
    WHERE is_ready = 0 AND received_at < :before ORDER BY received_at LIMIT :limit)
ORDER BY received_at LIMIT :limit
"""
_EXPIRE = "DELETE FROM slate WHERE rowid IN (SELECT rowid FROM slate WHERE served_at < ? LIMIT ?)"
_EXPIRE_STEP = 10_000


class SqliteDeliveryStore:
    """DeliveryStore."""

    expiry_s = inf

    def __init__(self, path: Path, durability: Durability = "os") -> None:
        self._database = Database(path, SCHEMA, durability)

    @classmethod
    def from_uri(cls, uri: Uri) -> SqliteDeliveryStore:
        return cls(uri.path("durability"), durability_of(uri))

    def put(self, slates: Sequence[StoredSlate]) -> None:
        """See DeliveryStore. Guarantees: all or none. Cost: one transaction."""
        with self._database.write() as connection:
            connection.executemany(_PUT, [(slate.request_id, slate.served_at, slate.body) for slate in slates])
            connection.executemany(_WAKE, [(slate.request_id,) for slate in slates])

    def find(self, request_ids: Iterable[RequestId]) -> Mapping[RequestId, bytes]:
        """See DeliveryStore. Cost: a few microseconds each."""
        found: dict[RequestId, bytes] = {}
        with self._database.read() as connection:
            for request_id in request_ids:
                row = connection.execute("SELECT body FROM slate WHERE request_id = ?", (request_id,)).fetchone()
                if row is not None:
                    found[request_id] = row[0]
        return found

    def park(self, events: Sequence[Parked]) -> None:
        """See DeliveryStore. Guarantees: all or none. Cost: one transaction."""
        rows = [
            {"receipt_id": e.receipt_id, "request_id": e.request_id, "received_at": e.received_at, "body": e.body}
            for e in events
        ]
        with self._database.write() as connection:
            connection.executemany(_PARK, rows)

    def parked(self, received_before: float, limit: int) -> list[Parked]:
        """See DeliveryStore. Cost: what it returns, however many wait."""
        with self._database.read() as connection:
            rows = connection.execute(_DUE, {"before": received_before, "limit": limit}).fetchall()
        return [Parked(receipt_id, RequestId(request_id), at, body) for receipt_id, request_id, at, body in rows]

    def release(self, receipt_ids: Iterable[bytes]) -> None:
        """See DeliveryStore."""
        rows = [(receipt_id,) for receipt_id in receipt_ids]
        with self._database.write() as connection:
            connection.executemany("DELETE FROM parked WHERE receipt_id = ?", rows)

    def expire(self, served_before: float) -> int:
        """See DeliveryStore. Cost: one short transaction, so that `put` hardly waits."""
        with self._database.write() as connection:
            return connection.execute(_EXPIRE, (served_before, _EXPIRE_STEP)).rowcount

    def waiting(self) -> int:
        """See DeliveryStore."""
        with self._database.read() as connection:
            (count,) = connection.execute("SELECT count(*) FROM parked").fetchone()
        return int(count)
