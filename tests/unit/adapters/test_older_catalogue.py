"""A catalogue file of a release that neither counted pieces nor remembered what changed when."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from omakase.adapters.local.catalogue_store import SqliteCatalogueStore
from omakase.core.catalogue import Item

OLDER = """
CREATE TABLE item (
    place INTEGER PRIMARY KEY, item_id TEXT NOT NULL UNIQUE, metadata TEXT NOT NULL, value REAL,
    in_stock INTEGER NOT NULL, hidden INTEGER NOT NULL
);
CREATE TABLE catalogue (one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT NULL);
INSERT INTO catalogue VALUES (1, 4);
INSERT INTO item (item_id, metadata, value, in_stock, hidden) VALUES ('a', '{"price":2.0}', 1.5, 1, 0);
"""


def test_is_read_and_written_on(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "c.db")
    connection.executescript(OLDER)
    connection.close()
    stores = [SqliteCatalogueStore(tmp_path / "c.db") for _ in range(2)]
    assert tuple(stores[0].load()) == (Item("a", {"price": 2.0}, 1.5),)
    before = stores[0].load()
    assert stores[1].put([Item("b", stock=3)]) == 5
    assert [item.stock for item in stores[0].load(before)] == [None, 3]
