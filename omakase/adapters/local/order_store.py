"""Order lines that wait, and what they were attributed to, in SQLite."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from omakase.adapters.local.database import Database, Durability, durability_of
from omakase.adapters.uri import Uri
from omakase.core.ids import Pseudonym, RequestId
from omakase.ports.orders import Credit, Order

_ORDERS = """
CREATE TABLE IF NOT EXISTS order_line (
    receipt_id BLOB NOT NULL PRIMARY KEY,
    line BLOB NOT NULL,
    type TEXT NOT NULL,
    people TEXT NOT NULL,
    item_id TEXT NOT NULL,
    value REAL,
    occurred_at REAL NOT NULL,
    received_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS order_line_by_age ON order_line (received_at);
"""
_KEEP = "INSERT INTO order_line VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (receipt_id) DO NOTHING"
_DUE = "SELECT * FROM order_line WHERE received_at < ? ORDER BY received_at, receipt_id LIMIT ?"

_ANONYMISE = "UPDATE order_line SET people = '[]' WHERE instr(people, ?)"

_CREDITS = """
CREATE TABLE IF NOT EXISTS credit (
    line BLOB NOT NULL PRIMARY KEY,
    received_at REAL NOT NULL,
    request_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    served_at REAL NOT NULL,
    placement TEXT NOT NULL,
    variant TEXT NOT NULL,
    policy TEXT NOT NULL,
    unit TEXT NOT NULL,
    item_id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS credit_by_age ON credit (received_at);
CREATE INDEX IF NOT EXISTS credit_by_unit ON credit (unit) WHERE unit != '';
"""
_PUT = "INSERT INTO credit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (line) DO NOTHING"
_EXPIRE = "DELETE FROM credit WHERE rowid IN (SELECT rowid FROM credit WHERE received_at < ? LIMIT ?)"
_EXPIRE_STEP = 10_000


class SqliteOrders:
    """Orders."""

    def __init__(self, path: Path, durability: Durability = "os") -> None:
        self._database = Database(path, _ORDERS, durability)

    @classmethod
    def from_uri(cls, uri: Uri) -> SqliteOrders:
        return cls(uri.path("durability"), durability_of(uri))

    def keep(self, orders: Sequence[Order]) -> None:
        """See Orders. Cost: one transaction."""
        rows = [
            (o.receipt_id, o.line, o.type, json.dumps(o.people), o.item_id, o.value, o.occurred_at, o.received_at)
            for o in orders
        ]
        with self._database.write() as connection:
            connection.executemany(_KEEP, rows)

    def due(self, received_before: float, limit: int) -> list[Order]:
        """See Orders."""
        with self._database.read() as connection:
            rows = connection.execute(_DUE, (received_before, limit)).fetchall()
        return [
            Order(receipt_id, line, kind, tuple(map(Pseudonym, json.loads(people))), *rest)
            for receipt_id, line, kind, people, *rest in rows
        ]

    def release(self, receipt_ids: Iterable[bytes]) -> None:
        """See Orders."""
        with self._database.write() as connection:
            connection.executemany("DELETE FROM order_line WHERE receipt_id = ?", [(each,) for each in receipt_ids])

    def forget(self, people: Collection[Pseudonym]) -> int:
        """See Orders. A line that names one of them names nobody afterwards. Guarantees: all or none."""
        with self._database.write() as connection:
            return sum(connection.execute(_ANONYMISE, (json.dumps(person),)).rowcount for person in people if person)

    def waiting(self) -> int:
        """See Orders."""
        with self._database.read() as connection:
            (count,) = connection.execute("SELECT count(*) FROM order_line").fetchone()
        return int(count)


class SqliteCredits:
    """Credits."""

    def __init__(self, path: Path, durability: Durability = "os") -> None:
        self._database = Database(path, _CREDITS, durability)

    @classmethod
    def from_uri(cls, uri: Uri) -> SqliteCredits:
        return cls(uri.path("durability"), durability_of(uri))

    def put(self, credits: Sequence[Credit]) -> None:
        """See Credits. Cost: one transaction."""
        rows = [_row(credit) for credit in credits]
        with self._database.write() as connection:
            connection.executemany(_PUT, rows)

    def find(self, lines: Iterable[bytes]) -> Mapping[bytes, Credit]:
        """See Credits."""
        found: dict[bytes, Credit] = {}
        with self._database.read() as connection:
            for line in lines:
                row = connection.execute("SELECT * FROM credit WHERE line = ?", (line,)).fetchone()
                if row is not None:
                    _, received_at, request_id, *facts = row
                    found[line] = Credit(line, received_at, RequestId(request_id), *facts)
        return found

    def expire(self, received_before: float) -> int:
        """See Credits. Cost: one short transaction."""
        with self._database.write() as connection:
            return connection.execute(_EXPIRE, (received_before, _EXPIRE_STEP)).rowcount

    def forget(self, people: Collection[Pseudonym]) -> int:
        """See Credits. Guarantees: all or none."""
        with self._database.write() as connection:
            changes = [
                connection.execute("UPDATE credit SET unit = '' WHERE unit = ?", (person,)).rowcount
                for person in people
                if person
            ]
        return sum(changes)


def _row(credit: Credit) -> tuple[object, ...]:
    """In the order of the table's columns, which is that of the record's fields."""
    return tuple(getattr(credit, field.name) for field in fields(Credit))
