"""The warehouse as Parquet files that DuckDB queries. There is no DuckDB file, and so no lock between processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from decimal import Decimal
from functools import partial
from pathlib import Path

import duckdb

from omakase.adapters.local.files import disk_errors, temporary_beside
from omakase.adapters.local.json_rows import lines_by_hour
from omakase.adapters.local.parquet import (
    AWAY,
    blank_people,
    connect,
    files_naming,
    has_people,
    is_about_mixed_files,
    make_view,
    merge_files,
    write_rows,
)
from omakase.adapters.local.parts import Parts
from omakase.adapters.local.series import check_part
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput, Unavailable
from omakase.core.tables import TABLES
from omakase.ports.warehouse import Cell, Row, Table

_UNPINNED = 3
_PASSES = 10


class FileWarehouse:
    """Warehouse. Columns that a row leaves out are null, except `hour`. Safe to share between threads."""

    def __init__(self, directory: Path) -> None:
        self._parts: dict[str, Parts] = {table: Parts(directory / table) for table in TABLES}
        self._writer = connect()
        self._writing = threading.Lock()

    @classmethod
    def from_uri(cls, uri: Uri) -> FileWarehouse:
        return cls(uri.path())

    def append(self, table: Table, part: str, rows: Sequence[Row]) -> None:
        """See Warehouse. Rows are cut by `hour`, the start of an hour. Raises: InvalidInput also for cells of another
        type than their column's, numbers that are not finite, and part names beyond letters, digits, `-` and `_`.
        """
        parts = self._parts_of(table)
        check_part(part)
        by_hour = lines_by_hour(table, rows)
        with disk_errors(f"write part {part!r} of {table}"), self._writing:
            staged = {hour: parts.staging(hour, part) for hour in by_hour}
            try:
                for hour, lines in by_hour.items():
                    write_rows(self._writer, table, lines, staged[hour])
                parts.publish(part, staged)
            except BaseException:
                parts.discard(staged.values())
                raise

    def query(self, sql: str, parameters: Sequence[Cell] = ()) -> list[dict[str, Cell]]:
        """See Warehouse. Decimals come back as floats."""
        try:
            for _ in range(_UNPINNED):
                # A listed file is gone after its part was written again or merged. Pinning at once would let a long
                # query hold up every publisher, for something that hardly ever happens twice.
                with suppress(duckdb.IOException):
                    return self._query(sql, parameters, is_pinned=False)
            return self._query(sql, parameters, is_pinned=True)
        except AWAY as error:
            raise Unavailable(f"the warehouse cannot be read: {error}") from error
        except duckdb.Error as error:
            raise InvalidInput(str(error)) from error

    def compact(self, table: Table) -> int:
        """See Warehouse."""
        parts, fewer = self._parts_of(table), 0
        with self._upkeep(f"compact {table}", parts) as engine:
            parts.sweep()
            # What was merged may be merged again, until it is large.
            while groups := list(parts.mergeable()):
                for files in groups:
                    merge = partial(merge_files, engine, table, files)
                    if not _is_replaced(parts, files, merge):
                        raise Unavailable(f"cannot compact {table}: something else removes its files")
                    fewer += len(files) - 1
        return fewer

    def expire(self, table: Table, before_hour: int) -> int:
        """See Warehouse."""
        parts = self._parts_of(table)
        with self._upkeep(f"expire {table}", parts):
            return parts.expire(before_hour)

    def forget(self, people: Collection[str]) -> int:
        """See Warehouse."""
        if not all(people):
            raise InvalidInput("a pseudonym to forget must not be empty: that is everybody who is not known")
        changed = 0
        for table, parts in self._parts.items():
            if people and has_people(table):
                with self._upkeep(f"forget people in {table}", parts) as engine:
                    changed += _forget(engine, table, parts, people)
        return changed

    def _parts_of(self, table: Table) -> Parts:
        if table not in self._parts:
            raise InvalidInput(f"no table {table!r}; known: {', '.join(self._parts)}")
        return self._parts[table]

    @contextmanager
    def _upkeep(self, doing: str, parts: Parts) -> Iterator[duckdb.DuckDBPyConnection]:
        """An engine to rewrite files with, while nobody else does. Raises: Unavailable for all that goes wrong."""
        # On one thread: who serves needs the other cores.
        with disk_errors(doing), parts.upkeep(), connect(threads=1) as engine:
            try:
                yield engine
            except duckdb.Error as error:
                raise Unavailable(f"cannot {doing}: {error}") from error

    def _query(self, sql: str, parameters: Sequence[Cell], *, is_pinned: bool) -> list[dict[str, Cell]]:
        with ExitStack() as pins, connect() as connection:
            files: dict[str, list[str]] = {}
            for table, parts in self._parts.items():
                files[table] = []
                # A table that the text does not name is not asked for, and listing its files is the slow part.
                if table in sql.lower():
                    with disk_errors(f"list the files of {table}"):
                        files[table] = pins.enter_context(parts.pinned()) if is_pinned else parts.files()
            try:
                return _answer(connection, files, sql, parameters)
            except duckdb.InvalidInputException as error:
                if not is_about_mixed_files(error):
                    raise
                return _answer(connection, files, sql, parameters, is_mixed=True)


def _answer(
    connection: duckdb.DuckDBPyConnection,
    files: Mapping[str, list[str]],
    sql: str,
    parameters: Sequence[Cell],
    *,
    is_mixed: bool = False,
) -> list[dict[str, Cell]]:
    for table, listed in files.items():
        make_view(connection, table, listed, is_mixed=is_mixed)
    cursor = connection.execute(sql, list(parameters))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, map(_cell, row), strict=True)) for row in cursor.fetchall()]


def _is_replaced(parts: Parts, files: Sequence[str], write: Callable[[Path], None]) -> bool:
    """Put what `write` makes of files of one hour in their place. Returns False if one of them has gone."""
    staged = temporary_beside(Path(files[0]))
    try:
        write(staged)
        return parts.replace(staged, files)
    except BaseException as error:
        parts.discard([staged])
        if isinstance(error, duckdb.IOException) and not all(map(os.path.exists, files)):
            return False
        raise


def _forget(engine: duckdb.DuckDBPyConnection, table: str, parts: Parts, people: Collection[str]) -> int:
    """Returns how many rows it changed. Raises: Unavailable; duckdb.Error."""
    changed = 0
    for _ in range(_PASSES):
        files = parts.files()
        try:
            naming = files_naming(engine, table, files, people)
        except duckdb.IOException:
            if all(map(os.path.exists, files)):
                raise
            continue
        is_whole = True
        for file, rows in naming:
            if _is_replaced(parts, [file], partial(blank_people, engine, table, file, people)):
                changed += rows
            else:
                is_whole = False
        if is_whole:
            return changed
    raise Unavailable(f"the newest parts of {table} are written again and again: try it later")


def _cell(value: object) -> Cell:
    if isinstance(value, Decimal):
        return float(value)
    if value is None or isinstance(value, (str, int, float, bool, bytes)):
        return value
    raise InvalidInput(f"the query returns a {type(value).__name__}: cast it to text or a number")
