"""The catalogue in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from omakase.adapters.local.database import Database, Durability, durability_of
from omakase.adapters.local.facts import decode_facts, encode_facts
from omakase.adapters.uri import Uri
from omakase.core.catalogue import Catalogue, Item

_SCHEMA = """
CREATE TABLE IF NOT EXISTS item (
    place INTEGER PRIMARY KEY,
    item_id TEXT NOT NULL UNIQUE,
    metadata TEXT NOT NULL,
    value REAL,
    in_stock INTEGER NOT NULL,
    hidden INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS catalogue (one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT NULL);
INSERT OR IGNORE INTO catalogue VALUES (1, 0);
"""

_LOAD = "SELECT item_id, metadata, value, in_stock, hidden FROM item ORDER BY place"
_PUT = """
INSERT INTO item (item_id, metadata, value, in_stock, hidden) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (item_id) DO UPDATE SET metadata = excluded.metadata, value = excluded.value,
    in_stock = excluded.in_stock, hidden = excluded.hidden
"""


class SqliteCatalogueStore:
    """CatalogueStore. An item that was removed and comes back takes the last place."""

    def __init__(self, path: Path, durability: Durability = "os") -> None:
        self._database = Database(path, _SCHEMA, durability)

    @classmethod
    def from_uri(cls, uri: Uri) -> SqliteCatalogueStore:
        return cls(uri.path("durability"), durability_of(uri))

    def generation(self) -> int:
        """See CatalogueStore. Cost: ten microseconds."""
        with self._database.read() as connection:
            return _generation(connection)

    def load(self) -> Catalogue:
        """See CatalogueStore. Raises: Corrupt besides."""
        with self._database.read() as connection:
            generation = _generation(connection)
            rows = connection.execute(_LOAD).fetchall()
        items = tuple(
            Item(item_id, decode_facts(metadata), value, bool(in_stock), bool(hidden))
            for item_id, metadata, value, in_stock, hidden in rows
        )
        return Catalogue(items, generation)

    def put(self, items: Iterable[Item]) -> int:
        """See CatalogueStore. No items make no generation. Raises: Unavailable; InvalidFeature."""
        rows = [(i.item_id, encode_facts(i.metadata), i.value, int(i.in_stock), int(i.hidden)) for i in items]
        with self._database.write() as connection:
            connection.executemany(_PUT, rows)
            return _next_generation(connection) if rows else _generation(connection)

    def remove(self, item_ids: Iterable[str]) -> int:
        """See CatalogueStore. Where nothing was dropped the generation stays. Raises: Unavailable."""
        rows = [(item_id,) for item_id in item_ids]
        with self._database.write() as connection:
            dropped = connection.executemany("DELETE FROM item WHERE item_id = ?", rows).rowcount if rows else 0
            return _next_generation(connection) if dropped else _generation(connection)


def _generation(connection: sqlite3.Connection) -> int:
    (generation,) = connection.execute("SELECT generation FROM catalogue").fetchone()
    return int(generation)


def _next_generation(connection: sqlite3.Connection) -> int:
    connection.execute("UPDATE catalogue SET generation = generation + 1")
    return _generation(connection)
