"""Encoded records in SQLite, changed where they lie, so that nothing of what they were is left in the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from omakase.adapters.local.database import Database

_STEP = 500
_ROWS = 20_000


def rewrite_bodies(
    database: Database, table: str, key: str, mentioning: Sequence[bytes], change: Callable[[bytes], bytes]
) -> int:
    """Change every `body` of `table` that holds one of these texts, and wipe what they were. Returns how many changed.

    `key` is the table's integer key. Guarantees: idempotent if `change` is; others hardly wait, for the transactions
    are short. Raises: Unavailable. Cost: reads every body.
    """
    with database.read() as connection:
        first, last = connection.execute(f"SELECT min({key}), max({key}) FROM {table}").fetchone()  # noqa: S608
    changed = 0
    for start in range(first or 0, (last or -1) + 1, _ROWS):
        with database.read() as connection:
            found = _mentioning(connection, table, key, mentioning, start)
        for at in range(0, len(found), _STEP):
            with database.write() as connection:
                changed += sum(_rewrite(connection, table, key, number, change) for number in found[at : at + _STEP])
    database.wipe()
    return changed


def _mentioning(
    connection: sqlite3.Connection, table: str, key: str, mentioning: Sequence[bytes], start: int
) -> list[int]:
    holds = " OR ".join("instr(body, ?)" for _ in mentioning)
    asked = f"SELECT {key} FROM {table} WHERE {key} >= ? AND {key} < ? AND ({holds or 'false'})"  # noqa: S608  our own names
    return [number for (number,) in connection.execute(asked, (start, start + _ROWS, *mentioning))]


def _rewrite(
    connection: sqlite3.Connection, table: str, key: str, number: int, change: Callable[[bytes], bytes]
) -> bool:
    row = connection.execute(f"SELECT body FROM {table} WHERE {key} = ?", (number,)).fetchone()  # noqa: S608
    if row is None or row[0] is None:  # trimmed or expired meanwhile
        return False
    fresh = change(row[0])
    if fresh == row[0]:
        return False
    connection.execute(f"UPDATE {table} SET body = ? WHERE {key} = ?", (fresh, number))  # noqa: S608
    return True
