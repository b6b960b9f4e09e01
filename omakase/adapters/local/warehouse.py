"""The warehouse as Parquet files that DuckDB queries. There is no DuckDB file, and so no lock between processes."""

from __future__ import annotations

import json
import math
import re
import threading
from binascii import b2a_base64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TypeAlias

import duckdb

from omakase.adapters.local.files import disk_errors
from omakase.adapters.local.parts import Parts
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput, Unavailable
from omakase.core.tables import TABLES, ColumnType
from omakase.ports.warehouse import Cell, Row, Table

_SQL_TYPES: Mapping[ColumnType, str] = {
    "text": "VARCHAR",
    "float": "DOUBLE",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "bytes": "BLOB",
}
_PYTHON_TYPES: Mapping[ColumnType, type | tuple[type, ...]] = {
    "text": str,
    "float": (float, int),
    "integer": int,
    "boolean": bool,
    "bytes": bytes,
}
_PART = re.compile(r"[A-Za-z0-9_-]{1,200}")
_HOUR_S = 3600
_JSON = json.JSONEncoder(ensure_ascii=False, check_circular=False)

# What DuckDB raises when the machine is at fault; everything else it raises is about the query.
AWAY: tuple[type[duckdb.Error], ...] = (
    duckdb.OperationalError,
    duckdb.InternalError,
    duckdb.FatalException,
    duckdb.InterruptException,
)

Encoded: TypeAlias = dict[str, str | int | float | bool | None]


class FileWarehouse:
    """Warehouse. Columns that a row leaves out are null, except `hour`. Safe to share between threads."""

    def __init__(self, directory: Path) -> None:
        self._parts = {table: Parts(directory / table) for table in TABLES}
        self._writer = _connect()
        self._writing = threading.Lock()

    @classmethod
    def from_uri(cls, uri: Uri) -> FileWarehouse:
        return cls(uri.path())

    def append(self, table: Table, part: str, rows: Sequence[Row]) -> None:
        """See Warehouse. Rows are cut by `hour`, the start of an hour. Raises: InvalidInput also for cells of another
        type than their column's, numbers that are not finite, and part names beyond letters, digits, `-` and `_`.
        """
        parts = self._parts_of(table)
        if not _PART.fullmatch(part):
            raise InvalidInput(f"part name {part!r}: use 1 to 200 letters, digits, '-' and '_'")
        by_hour: defaultdict[int, list[str]] = defaultdict(list)
        for number, row in enumerate(rows):
            hour, line = _line(table, number, row)
            by_hour[hour].append(line)
        with disk_errors(f"write part {part!r} of {table}"), self._writing:
            staged = {hour: parts.staging(hour, part) for hour in by_hour}
            try:
                for hour, lines in by_hour.items():
                    self._write(table, lines, staged[hour])
                parts.publish(part, staged)
            except BaseException:
                parts.discard(staged)
                raise

    def query(self, sql: str, parameters: Sequence[Cell] = ()) -> list[dict[str, Cell]]:
        """See Warehouse. Decimals come back as floats."""
        try:
            try:
                return self._query(sql, parameters, is_pinned=False)
            except duckdb.IOException:
                # A part that was written again took a listed file away. Pinning at once would let a long query hold
                # up every publisher, for something that hardly ever happens.
                return self._query(sql, parameters, is_pinned=True)
        except AWAY as error:
            raise Unavailable(f"the warehouse cannot be read: {error}") from error
        except duckdb.Error as error:
            raise InvalidInput(str(error)) from error

    def _parts_of(self, table: Table) -> Parts:
        if table not in self._parts:
            raise InvalidInput(f"no table {table!r}; known: {', '.join(self._parts)}")
        return self._parts[table]

    def _write(self, table: Table, lines: list[str], target: Path) -> None:
        columns = TABLES[table]
        selected = ", ".join(
            f'from_base64("{name}") AS "{name}"' if kind == "bytes" else f'"{name}"' for name, kind in columns.items()
        )
        # DuckDB has no way in for Python rows that is both fast and free of further packages; JSON is fast enough.
        types = {name: "VARCHAR" if kind == "bytes" else _SQL_TYPES[kind] for name, kind in columns.items()}
        with NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, prefix=".", suffix=".tmp") as source:
            source.write("\n".join(lines))
            source.flush()
            read = f"read_json({_quoted(source.name)}, format = 'newline_delimited', columns = {types!r})"
            try:
                self._writer.execute(
                    f"COPY (SELECT {selected} FROM {read}) TO {_quoted(str(target))} (FORMAT parquet)"  # noqa: S608
                )
            except duckdb.Error as error:
                raise Unavailable(f"cannot write {target}: {error}") from error

    def _query(self, sql: str, parameters: Sequence[Cell], *, is_pinned: bool) -> list[dict[str, Cell]]:
        with ExitStack() as pins, _connect() as connection:
            for table, parts in self._parts.items():
                files: list[str] = []
                # A table that the text does not name is not asked for, and listing its files is the slow part.
                if table in sql.lower():
                    with disk_errors(f"list the files of {table}"):
                        files = pins.enter_context(parts.pinned()) if is_pinned else parts.files()
                connection.execute(_view(table, files))
            cursor = connection.execute(sql, list(parameters))
            names = [column[0] for column in cursor.description or ()]
            rows = cursor.fetchall()
        return [dict(zip(names, map(_cell, row), strict=True)) for row in rows]


def _connect() -> duckdb.DuckDBPyConnection:
    # Everything needed is built in; nothing is to be fetched behind anyone's back.
    return duckdb.connect(config={"autoinstall_known_extensions": "false"})


def _line(table: Table, number: int, row: Row) -> tuple[int, str]:
    """One row as JSON, and its hour. Raises: InvalidInput."""
    columns = TABLES[table]
    where = f"row {number} for {table}"
    unknown = row.keys() - columns.keys()
    if unknown:
        raise InvalidInput(f"{where}: unknown columns {sorted(unknown)}; known: {', '.join(columns)}")
    hour = row.get("hour")
    if not isinstance(hour, int) or hour % _HOUR_S:
        raise InvalidInput(f"{where}: hour must be the start of an hour in Unix seconds, not {hour!r}")
    encoded: Encoded = {name: _encoded(where, name, columns[name], cell) for name, cell in row.items()}
    text = _JSON.encode(encoded)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{where}: holds text that UTF-8 cannot") from error
    return hour, text


def _encoded(where: str, name: str, kind: ColumnType, cell: Cell) -> str | int | float | bool | None:
    if cell is None or (kind == "text" and type(cell) is str):
        return cell
    # In Python a bool is an int; in a table it is not.
    if not isinstance(cell, _PYTHON_TYPES[kind]) or (isinstance(cell, bool) and kind != "boolean"):
        raise InvalidInput(f"{where}: {name} must be {kind}, not {type(cell).__name__}")
    if isinstance(cell, bytes):
        return b2a_base64(cell, newline=False).decode()
    if isinstance(cell, float) and not math.isfinite(cell):
        raise InvalidInput(f"{where}: {name} must be a finite number")
    if isinstance(cell, int) and not -(2**63) <= cell < 2**63:
        raise InvalidInput(f"{where}: {name} must fit 64 bits")
    return cell


def _view(table: str, files: list[str]) -> str:
    if not files:
        empty = ", ".join(f'NULL::{_SQL_TYPES[kind]} AS "{name}"' for name, kind in TABLES[table].items())
        return f"CREATE VIEW {table} AS SELECT {empty} WHERE false"
    columns = ", ".join(f'"{name}"' for name in TABLES[table])
    listed = ", ".join(map(_quoted, files))
    # The hour is taken from the path, so that a condition on it opens no other file.
    source = f"read_parquet([{listed}], hive_partitioning = true, hive_types = {{'hour': BIGINT}})"
    return f"CREATE VIEW {table} AS SELECT {columns} FROM {source}"  # noqa: S608  names from our own table, paths quoted


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _cell(value: object) -> Cell:
    if isinstance(value, Decimal):
        return float(value)
    if value is None or isinstance(value, (str, int, float, bool, bytes)):
        return value
    raise InvalidInput(f"the query returns a {type(value).__name__}: cast it to text or a number")
