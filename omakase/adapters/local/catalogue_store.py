"""The catalogue in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable
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
INSERT OR IGNORE INTO catalogue (one, generation) VALUES (1, 0);
"""

# What came later, for new files and for those of older releases: `changed` and `removed` are the generations of it.
_ADDED = (
    "ALTER TABLE item ADD COLUMN stock INTEGER",
    "ALTER TABLE item ADD COLUMN changed INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE catalogue ADD COLUMN removed INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX item_changed ON item (changed)",
)
_HAS_ADDED = "SELECT 1 FROM pragma_table_info('item') WHERE name = 'changed'"

_LOAD = "SELECT item_id, metadata, value, in_stock, hidden, stock FROM item ORDER BY place"
_PAGE = """
SELECT item_id, metadata, value, in_stock, hidden, stock FROM item WHERE item_id >= ? ORDER BY item_id LIMIT ?
"""
_FIND = "SELECT item_id, metadata, value, in_stock, hidden, stock FROM item WHERE item_id = ?"
# By name, for else SQLite may go through all items in order of place rather than sort a few.
_LOAD_CHANGED = """
SELECT item_id, metadata, value, in_stock, hidden, stock
FROM item INDEXED BY item_changed WHERE changed > ? ORDER BY place
"""
_PUT = """
INSERT INTO item (item_id, metadata, value, in_stock, hidden, stock, changed) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (item_id) DO UPDATE SET metadata = excluded.metadata, value = excluded.value,
    in_stock = excluded.in_stock, hidden = excluded.hidden, stock = excluded.stock, changed = excluded.changed
"""


class SqliteCatalogueStore:
    """CatalogueStore. An item that was removed and comes back takes the last place."""

    def __init__(self, path: Path, durability: Durability = "os") -> None:
        self._database = Database(path, _SCHEMA, durability)
        with self._database.read() as connection:
            has_added = connection.execute(_HAS_ADDED).fetchone()
        if not has_added:
            self._add()

    @classmethod
    def from_uri(cls, uri: Uri) -> SqliteCatalogueStore:
        return cls(uri.path("durability"), durability_of(uri))

    def generation(self) -> int:
        """See CatalogueStore. Cost: ten microseconds."""
        with self._database.read() as connection:
            return _generation(connection)

    def load(self, since: Catalogue | None = None) -> Catalogue:
        """See CatalogueStore. Reads everything where an item was removed since. Raises: Corrupt besides."""
        with self._database.read() as connection:
            generation, removed = connection.execute("SELECT generation, removed FROM catalogue").fetchone()
            if since is not None and removed <= since.generation <= generation:
                changed = connection.execute(_LOAD_CHANGED, (since.generation,))
                return since.amended(map(_item, changed), generation)
            return Catalogue(map(_item, connection.execute(_LOAD)), generation)

    def put(self, items: Iterable[Item]) -> int:
        """See CatalogueStore. No items make no generation. Other writers wait for the last item.

        Raises: Unavailable; InvalidFeature.
        """
        with self._database.write() as connection:
            return _put(connection, items)

    def update(self, item_ids: Collection[str], change: Callable[[Item], Item]) -> list[Item]:
        """See CatalogueStore. Raises: Unavailable; InvalidFeature; Corrupt."""
        with self._database.write() as connection:
            rows = [connection.execute(_FIND, (item_id,)).fetchone() for item_id in dict.fromkeys(item_ids)]
            items = [change(_item(row)) for row in rows if row is not None]
            _put(connection, items)
            return items

    def page(self, first: str, limit: int) -> list[Item]:
        """See CatalogueStore. Cost: that of its items. Raises: Corrupt besides."""
        with self._database.read() as connection:
            return [_item(row) for row in connection.execute(_PAGE, (first, limit))]

    def remove(self, item_ids: Iterable[str]) -> int:
        """See CatalogueStore. Where nothing was dropped the generation stays. Raises: Unavailable."""
        rows = [(item_id,) for item_id in item_ids]
        with self._database.write() as connection:
            dropped = connection.executemany("DELETE FROM item WHERE item_id = ?", rows).rowcount if rows else 0
            if dropped:
                connection.execute("UPDATE catalogue SET generation = generation + 1, removed = generation + 1")
            return _generation(connection)

    def _add(self) -> None:
        with self._database.write() as connection:
            if not connection.execute(_HAS_ADDED).fetchone():  # else another process was faster
                for statement in _ADDED:
                    connection.execute(statement)


def _generation(connection: sqlite3.Connection) -> int:
    (generation,) = connection.execute("SELECT generation FROM catalogue").fetchone()
    return int(generation)


def _put(connection: sqlite3.Connection, items: Iterable[Item]) -> int:
    generation = _generation(connection) + 1
    changed = connection.executemany(_PUT, (_row(item, generation) for item in items)).rowcount
    if changed <= 0:
        return generation - 1
    connection.execute("UPDATE catalogue SET generation = ?", (generation,))
    return generation


def _row(item: Item, generation: int) -> tuple[object, ...]:
    flags = int(item.in_stock), int(item.hidden)
    return item.item_id, encode_facts(item.metadata), item.value, *flags, item.stock, generation


def _item(row: tuple[str, str, float | None, int, int, int | None]) -> Item:
    item_id, metadata, value, in_stock, hidden, stock = row
    return Item(item_id, decode_facts(metadata), value, bool(in_stock), bool(hidden), stock)
