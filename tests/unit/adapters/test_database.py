"""SQLite, opened by many, and what it says when it cannot."""

import gc
import sqlite3
import subprocess
import sys

import pytest

from omakase.adapters.local.database import Database
from omakase.core.errors import Corrupt, InvalidInput, Unavailable

SCHEMA = "CREATE TABLE IF NOT EXISTS t (a INTEGER NOT NULL, b BLOB);"

# The kernel refuses to let any file grow past a bound, as a full disk does, with SQLite in the middle of a write.
FILL_THE_DISK = f"""
import resource, sys
from pathlib import Path
from omakase.adapters.local.database import Database
from omakase.core.errors import Unavailable
database = Database(Path(sys.argv[1]), {SCHEMA!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
kept = 0
try:
    while True:
        with database.write() as connection:
            connection.execute("INSERT INTO t VALUES (?, ?)", (kept, b"x" * 10_000))
        kept += 1
except Unavailable:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with database.read() as connection:
        print(kept, *connection.execute("SELECT count(*) FROM t").fetchone())
"""

OPEN_MANY = f"""
import sys
from pathlib import Path
from omakase.adapters.local.database import Database
print("ready", flush=True)
sys.stdin.readline()
for n in range(60):
    Database(Path(sys.argv[1]) / f"{{n}}.db", {SCHEMA!r})
print("opened", flush=True)
"""


def rows(database):
    with database.read() as connection:
        return connection.execute("SELECT a FROM t ORDER BY a").fetchall()


def insert(database, a):
    with database.write() as connection:
        connection.execute("INSERT INTO t (a) VALUES (?)", (a,))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "t.db"


def test_undoes_a_transaction_that_fails_and_goes_on(path):
    database = Database(path, SCHEMA)
    insert(database, 1)
    with pytest.raises(InvalidInput), database.write() as connection:
        connection.executemany("INSERT INTO t (a) VALUES (?)", [(2,), (None,)])
    insert(database, 3)
    assert rows(database) == [(1,), (3,)]


def test_a_read_is_of_one_moment_and_does_not_wait_for_the_writer(path):
    database, other = Database(path, SCHEMA), Database(path, SCHEMA)
    insert(database, 1)
    with database.write() as writer, database.read() as reader:
        writer.execute("INSERT INTO t (a) VALUES (2)")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
    with database.read() as reader:
        before = reader.execute("SELECT count(*) FROM t").fetchone()
        insert(other, 3)
        assert reader.execute("SELECT count(*) FROM t").fetchone() == before
    assert rows(database) == [(1,), (2,), (3,)]


@pytest.mark.parametrize(("durability", "synchronous"), [("os", 1), ("disk", 2)])
def test_syncs_each_commit_only_where_durability_is_disk(path, durability, synchronous):
    with Database(path, SCHEMA, durability).write() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)


def test_processes_that_open_the_same_new_files_at_once_all_succeed(tmp_path):
    children = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_MANY, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(5)
    ]
    assert [child.stdout.readline() for child in children] == ["ready\n"] * 5
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    assert [child.communicate(timeout=60)[0] for child in children] == ["opened\n"] * 5


def test_is_unavailable_while_another_holds_the_lock_too_long_and_fine_after(path):
    database, holder = Database(path, SCHEMA, busy_timeout_s=0.05), Database(path, SCHEMA)
    with holder.write(), pytest.raises(Unavailable, match="locked"):
        insert(database, 1)
    insert(database, 2)
    assert rows(database) == [(2,)]


def test_is_unavailable_when_the_disk_is_full_and_keeps_what_it_committed(path):
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    acknowledged, found = map(int, done.stdout.split())
    assert acknowledged == found > 0


def test_is_unavailable_where_no_directory_can_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="open"):
        Database(tmp_path / "file" / "t.db", SCHEMA)


def test_is_corrupt_when_the_file_is_no_database(path):
    path.parent.mkdir()
    path.write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    with pytest.raises(Corrupt, match="not a database"):
        Database(path, SCHEMA)


def test_is_corrupt_when_pages_are_overwritten(path):
    database = Database(path, SCHEMA)
    with database.write() as connection:
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, b"x" * 3000) for n in range(50)])
    database.close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(Corrupt, match="malformed"):
        rows(Database(path, SCHEMA))


def test_a_row_that_breaks_a_rule_of_its_table_is_invalid_input(path):
    with pytest.raises(InvalidInput, match="NOT NULL"):
        insert(Database(path, SCHEMA), None)


def test_text_that_is_not_unicode_is_invalid_input(path):
    database = Database(path, SCHEMA)
    with pytest.raises(InvalidInput, match="UTF-8"):
        insert(database, "\ud800")
    assert rows(database) == []


def test_a_wrong_statement_is_a_bug_and_stays_one(path):
    database = Database(path, SCHEMA)
    with pytest.raises(sqlite3.OperationalError, match="syntax"), database.read() as connection:
        connection.execute("SELEC 1")


def test_closes_its_files_with_the_object(path):
    database = Database(path, SCHEMA)
    insert(database, 1)
    assert path.with_name("t.db-wal").exists()
    del database
    gc.collect()
    # SQLite removes the log when the last connection goes.
    assert not path.with_name("t.db-wal").exists()
