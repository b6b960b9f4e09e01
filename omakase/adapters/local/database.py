"""One SQLite file, shared by the threads of several processes."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from omakase.adapters.local.files import disk_errors, locked
from omakase.adapters.uri import Uri
from omakase.core.errors import Corrupt, InvalidInput, OmakaseError, Unavailable

Durability: TypeAlias = Literal["os", "disk"]

# Primary result codes that the world or the caller can cause. Every other is a bug of ours and stays what it is.
_ERRORS: dict[int, type[OmakaseError]] = {
    sqlite3.SQLITE_BUSY: Unavailable,
    sqlite3.SQLITE_LOCKED: Unavailable,
    sqlite3.SQLITE_PROTOCOL: Unavailable,
    sqlite3.SQLITE_FULL: Unavailable,
    sqlite3.SQLITE_IOERR: Unavailable,
    sqlite3.SQLITE_CANTOPEN: Unavailable,
    sqlite3.SQLITE_READONLY: Unavailable,
    sqlite3.SQLITE_PERM: Unavailable,
    sqlite3.SQLITE_AUTH: Unavailable,
    sqlite3.SQLITE_INTERRUPT: Unavailable,
    sqlite3.SQLITE_NOLFS: Unavailable,
    sqlite3.SQLITE_CORRUPT: Corrupt,
    sqlite3.SQLITE_NOTADB: Corrupt,
    sqlite3.SQLITE_FORMAT: Corrupt,
    sqlite3.SQLITE_TOOBIG: InvalidInput,
    sqlite3.SQLITE_CONSTRAINT: InvalidInput,
}

# Zeros in place of all that is free; then, row by row, free again.
_FILL = """
INSERT INTO wipe SELECT zeroblob(min(freelist_count * page_size, 4000000))
FROM pragma_freelist_count, pragma_page_size WHERE freelist_count > 0
"""
_EMPTY = "DELETE FROM wipe WHERE rowid IN (SELECT min(rowid) FROM wipe)"


def durability_of(uri: Uri) -> Durability:
    """The option `durability` of a `sqlite:` address; `os` where it is not given."""
    asked = uri.options.get("durability", "os")
    if asked == "os":
        return "os"
    if asked == "disk":
        return "disk"
    raise InvalidInput(f"{uri.text!r}: durability is 'os' or 'disk', not {asked!r}")


class Database:
    """A file in WAL mode with one connection that reads and one that writes.

    Guarantees: what `write` committed survives the death of every process, and power loss too where durability is
    `disk`. Readers never wait for a writer, nor see half a transaction. Safe to share between threads; not across a
    fork. Its files are closed with the object.
    """

    def __init__(self, path: Path, schema: str, durability: Durability = "os", busy_timeout_s: float = 10.0) -> None:
        """Open, and create what `schema` (CREATE … IF NOT EXISTS) says. Raises: Unavailable, Corrupt."""
        with disk_errors(f"open {path}"), ExitStack() as failed:
            path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite does not wait while another process switches the journal mode, so the first openers queue here.
            with locked(path.with_name(path.name + ".lock")), _own_errors(path):
                self._writer = _connect(path, durability, busy_timeout_s, failed)
                self._writer.executescript(f"BEGIN IMMEDIATE; {schema} COMMIT;")
                self._reader = _connect(path, durability, busy_timeout_s, failed)
            failed.pop_all()  # it has not: from here on they are closed with the object
        self._path = path
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self.close = weakref.finalize(self, _close, self._reader, self._writer)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One snapshot: everything read inside is of the same moment. Raises: Unavailable, Corrupt."""
        with self._reading, _own_errors(self._path), _transaction(self._reader, "BEGIN"):
            yield self._reader

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, committed at the end or, after any exception, not at all. Raises: Unavailable, Corrupt."""
        with self._writing, _own_errors(self._path), _transaction(self._writer, "BEGIN IMMEDIATE"):
            yield self._writer

    def wipe(self) -> None:
        """Overwrite what deleted rows have left in free pages, and empty the write-ahead log, which remembers more.

        Others may read and write meanwhile. Raises: Unavailable if they leave no moment to empty the log; call again.
        Cost: writes as much as is free in the file.
        """
        with self.write() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS wipe (zeros BLOB)")
        # In steps: to do it all at once would hold up every writer.
        for statement in (_FILL, _EMPTY):
            while self._changes(statement):
                pass
        with self.write() as connection:
            connection.execute("DROP TABLE IF EXISTS wipe")
        with self._writing, _own_errors(self._path):
            (is_busy, *_) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise Unavailable(f"{self._path}: others use it all the time, its log cannot be emptied: try again")

    def _changes(self, statement: str) -> int:
        with self.write() as connection:
            return connection.execute(statement).rowcount


def _connect(path: Path, durability: Durability, busy_timeout_s: float, failed: ExitStack) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
    failed.callback(connection.close)
    connection.execute("PRAGMA journal_mode = WAL")
    # NORMAL writes the log at each commit and syncs it at checkpoints; FULL syncs at each commit.
    connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'disk' else 'NORMAL'}")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    # Larger than the defaults of 2 MiB and 1,000 pages, so that a batch of a thousand rows fits without spilling.
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    # Deleted rows are overwritten within their pages, which costs no I/O; whole free pages only by `wipe`.
    connection.execute("PRAGMA secure_delete = FAST")
    return connection


def _close(*connections: sqlite3.Connection) -> None:
    for connection in connections:
        connection.close()


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk makes SQLite roll back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _own_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        own = None if code is None else _ERRORS.get(code & 0xFF)
        if own is None:
            raise
        raise own(f"{path}: {error}") from error
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{error.object!r} is not text that UTF-8 can hold") from error
