"""Parquet files of one table, by DuckDB: made from rows, from each other, and read as one relation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

import duckdb

from omakase.core.errors import Unavailable
from omakase.core.tables import IDENTITIES, PERSONAL, TABLES, ColumnType

_SQL_TYPES: Mapping[ColumnType, str] = {
    "text": "VARCHAR",
    "float": "DOUBLE",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "bytes": "BLOB",
}

# What DuckDB raises when the machine is at fault; everything else it raises is about the query.
AWAY: tuple[type[duckdb.Error], ...] = (
    duckdb.OperationalError,
    duckdb.InternalError,
    duckdb.FatalException,
    duckdb.InterruptException,
)

# Of deliveries, zstd is a fifth smaller than snappy, and a quarter slower to write: for what is merged and then kept.
_NEW, _KEPT = "FORMAT parquet, COMPRESSION snappy", "FORMAT parquet, COMPRESSION zstd"


def connect(threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """An engine of one's own, by default on all cores."""
    # Everything needed is built in; nothing is to be fetched behind anyone's back.
    limits = {"threads": str(threads)} if threads else {}
    return duckdb.connect(config={"autoinstall_known_extensions": "false", **limits})


def write_rows(connection: duckdb.DuckDBPyConnection, table: str, lines: bytes, target: Path) -> None:
    """Rows as JSON, bytes in base64, into a file. Raises: Unavailable; OSError."""
    columns = TABLES[table]
    selected = ", ".join(
        f'from_base64("{name}") AS "{name}"' if kind == "bytes" else f'"{name}"' for name, kind in columns.items()
    )
    # DuckDB has no way in for Python rows that is both fast and free of further packages; JSON is fast enough.
    types = {name: "VARCHAR" if kind == "bytes" else _SQL_TYPES[kind] for name, kind in columns.items()}
    with NamedTemporaryFile(dir=target.parent, prefix=".", suffix=".tmp") as source:
        source.write(lines)
        source.flush()
        read = f"read_json({_quoted(source.name)}, format = 'newline_delimited', columns = {types!r})"
        try:
            connection.execute(f"COPY (SELECT {selected} FROM {read}) TO {_quoted(str(target))} ({_NEW})")  # noqa: S608
        except duckdb.Error as error:
            raise Unavailable(f"cannot write {target}: {error}") from error


def merge_files(connection: duckdb.DuckDBPyConnection, table: str, files: Sequence[str], target: Path) -> None:
    """Every row of `files` into one. Raises: duckdb.Error."""
    connection.execute(f"COPY ({_rows(table, files)}) TO {_quoted(str(target))} ({_KEPT})")


def files_naming(
    connection: duckdb.DuckDBPyConnection, table: str, files: Sequence[str], people: Collection[str]
) -> list[tuple[str, int]]:
    """The files with rows of these people, and how many rows. Raises: duckdb.Error."""
    if not files:
        return []
    asked = f"SELECT filename, count(*) FROM ({_rows(table, files, 'filename')}) WHERE {_names(table)} GROUP BY ALL"  # noqa: S608
    return [(file, rows) for file, rows in connection.execute(asked, {"people": list(people)}).fetchall()]


def blank_people(
    connection: duckdb.DuckDBPyConnection, table: str, file: str, people: Collection[str], target: Path
) -> None:
    """A copy of `file` in which the rows of these people are nobody's. Raises: duckdb.Error."""
    blanked = ", ".join(
        f'CASE WHEN {_names(table)} THEN NULL ELSE "{name}" END AS "{name}"' if name in PERSONAL else f'"{name}"'
        for name in TABLES[table]
    )
    connection.execute(
        f"COPY (SELECT {blanked} FROM ({_rows(table, [file])})) TO {_quoted(str(target))} ({_KEPT})",  # noqa: S608
        {"people": list(people)},
    )


def has_people(table: str) -> bool:
    return any(name in TABLES[table] for name in IDENTITIES)


def make_view(
    connection: duckdb.DuckDBPyConnection, table: str, files: Sequence[str], *, is_mixed: bool = False
) -> None:
    """Show files as their table. Some may lack columns that the table has now; `is_mixed` finds that by itself if the
    first file does. Raises: duckdb.Error.
    """
    create = f"CREATE OR REPLACE VIEW {table} AS"
    if not files:
        connection.execute(f"{create} {_empty(table)}")
        return
    if not is_mixed:
        columns = ", ".join(f'"{name}"' for name in TABLES[table])
        try:
            connection.execute(f"{create} SELECT {columns} FROM {_read(files)}")  # noqa: S608  our names, paths quoted
            return
        except duckdb.BinderException:
            pass
    connection.execute(f"{create} {_rows(table, files)}")


def is_about_mixed_files(error: duckdb.Error) -> bool:
    """Whether a query failed because a file lacks a column that the first one has."""
    return "union_by_name" in str(error)


def _read(files: Sequence[str], *options: str) -> str:
    listed = ", ".join(map(_quoted, files))
    # The hour is taken from the path, so that a condition on it opens no other file.
    fixed = ("hive_partitioning = true", "hive_types = {'hour': BIGINT}")
    return f"read_parquet([{listed}], {', '.join((*fixed, *options))})"


def _rows(table: str, files: Sequence[str], *more: str) -> str:
    """All rows, also of files that were written before the table had all its columns. Opens every file."""
    columns = ", ".join(f'"{name}"' for name in (*TABLES[table], *more))
    options = ("union_by_name = true", *(f"{name} = true" for name in more))
    return f"SELECT {columns} FROM ({_empty(table)} UNION ALL BY NAME SELECT * FROM {_read(files, *options)})"  # noqa: S608


def _empty(table: str) -> str:
    columns = ", ".join(f'NULL::{_SQL_TYPES[kind]} AS "{name}"' for name, kind in TABLES[table].items())
    return f"SELECT {columns} WHERE false"


def _names(table: str) -> str:
    """Whether a row names one of `$people`, and not null where it names nobody."""
    columns = [name for name in IDENTITIES if name in TABLES[table]]
    return "(" + " OR ".join(f'coalesce("{name}" IN (SELECT unnest($people)), false)' for name in columns) + ")"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
