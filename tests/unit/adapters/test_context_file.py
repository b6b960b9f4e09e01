"""The file of contexts: as older releases left it, and how soon it answers."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from time import perf_counter

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
    assert store.find([ALICE])[ALICE] == Known({"age": 31.0}, ("i1",))


def test_any_one_of_many_people_is_found_within_a_millisecond(tmp_path: Path) -> None:
    store = SqliteContextStore(tmp_path / "contexts.db")
    people = [Pseudonym(f"p{n}") for n in range(20_000)]
    store.put((person, {"age": float(n), "tags": ("a", "b")}) for n, person in enumerate(people))
    store.note([Click(people[n % 300 * 7], RequestId(n.to_bytes(16, "big")), 1, "i", float(n)) for n in range(15_000)])

    def read_time(n: int) -> float:
        started = perf_counter()
        assert store.at_hand([people[n * 7]])
        return perf_counter() - started

    # The median: a busy machine may stop us in the middle of any one read.
    assert sorted(map(read_time, range(201)))[100] < 1e-3
