"""The file of contexts as older releases left it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from omakase.adapters.local.context_store import SqliteContextStore
from omakase.core.ids import Pseudonym, RequestId
from omakase.ports.context_store import Click, Known

ALICE = Pseudonym("alice")


def test_a_file_from_before_there_were_clicks_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as old:
        old.execute("CREATE TABLE context (person TEXT NOT NULL PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID")
        old.execute("INSERT INTO context VALUES ('alice', '{\"age\":31.0}')")
        old.commit()
    store = SqliteContextStore(path)
    store.note([Click(ALICE, RequestId(b"r" * 16), 1, "i1", 5.0)])
    assert store.get(ALICE) == Known({"age": 31.0}, ("i1",))
