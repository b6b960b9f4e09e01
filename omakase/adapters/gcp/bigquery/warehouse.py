"""The warehouse in BigQuery: the port's tables, and beside them one that knows the newest part of each series."""

# ruff: noqa: S608  the names are our own, and values are parameters

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from omakase.adapters.gcp.bigquery.dataset import SQL_TYPES, Dataset, question_errors
from omakase.adapters.gcp.bigquery.dialect import translate
from omakase.adapters.gcp.bigquery.part_index import Extent, PartIndex
from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.local.json_rows import lines_by_hour
from omakase.adapters.local.series import check_part
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput
from omakase.core.tables import IDENTITIES, PERSONAL, TABLES
from omakase.ports.warehouse import Cell, Row, Table

PART = "_part"
"""The column that says of which part a row is. Queries do not show it."""

# A request holds 10 MB at most, and rows of JSON are taken apart row by row; a load job is made for many.
INLINE_BYTES = 200_000

_TABLES = tuple(TABLES)


class BigQueryWarehouse:
    """Warehouse. Columns that a row leaves out are null, except `hour`. Safe to share between threads.

    A new part is inserted, which conflicts with nothing that others do to the table; one that is written again is
    deleted and inserted in a transaction. Either reads no more than the days that its rows are of.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._index = PartIndex(dataset)

    @classmethod
    def from_uri(cls, uri: Uri) -> BigQueryWarehouse:
        """`bigquery:PROJECT/DATASET[?location=EU]`. Raises: InvalidInput."""
        return cls(Dataset.from_uri(uri))

    def append(self, table: Table, part: str, rows: Sequence[Row]) -> None:
        """See Warehouse. Raises: InvalidInput also for cells of another type than their column's, numbers that are not
        finite, and part names beyond letters, digits, `-` and `_`.

        Cost: four statements, and an upload for what is more than some hundred rows.
        """
        _check_table(table)
        check_part(part)
        by_hour = lines_by_hour(table, rows)
        lines = b"".join(by_hour.values())
        with cloud_errors(f"write part {part!r} of {table}"):
            known = self._index.newest(table, part)
            if known and known.is_after(part):
                raise InvalidInput(
                    f"part {part!r} is older than {known.part!r}: only the newest part of a series is written again"
                )
            extent = Extent.of(by_hour)
            # First the index: a part that has rows and is not known would not be found, and so not be replaced.
            self._index.note(table, part, known, extent)
            source = self._source(table, rows, lines) if rows else None
            is_again = known is not None and known.part == part
            whole = known.extent.with_(extent) if known and is_again else extent
            if is_again:
                self._replace(table, part, whole, source)
            elif source:
                self._insert(table, part, whole, source)
            if source and self._count(table, part, whole) != len(rows):
                self._replace(table, part, whole, source)

    def query(self, sql: str, parameters: Sequence[Cell] = ()) -> list[dict[str, Cell]]:
        """See Warehouse: in DuckDB's SQL, translated. Decimals come back as floats, and sums of integers are bound to
        64 bits. Cost: BigQuery's, by the columns and days read; ten megabytes at least.
        """
        nulls = frozenset(number for number, cell in enumerate(parameters) if cell is None)
        translated = translate(sql, self._dataset.path, _TABLES, nulls)
        if translated.parameters != len(parameters):
            raise InvalidInput(f"the query has {translated.parameters} parameters, and {len(parameters)} are given")
        named = {f"p{number}": cell for number, cell in enumerate(parameters) if cell is not None}
        with question_errors(_TABLES):
            rows = self._dataset.run(translated.text, named)
        return [{name: _cell(value) for name, value in row.items() if name != PART} for row in rows]

    def compact(self, table: Table) -> int:
        """See Warehouse. BigQuery merges by itself, so nothing is done."""
        _check_table(table)
        return 0

    def expire(self, table: Table, before_hour: int) -> int:
        """See Warehouse. Cost: reads the column `hour` of what goes; to delete whole days is free."""
        _check_table(table)
        name, older = self._dataset.table(table), {"before": before_hour}
        with cloud_errors(f"expire {table}"):
            (found,) = self._dataset.run(f"SELECT COUNT(DISTINCT hour) AS n FROM {name} WHERE hour < @before", older)
            if found["n"]:
                self._dataset.run(f"DELETE FROM {name} WHERE hour < @before", older)
            self._index.expire(table, before_hour)
        return int(found["n"])

    def forget(self, people: Collection[str]) -> int:
        """See Warehouse."""
        if not all(people):
            raise InvalidInput("a pseudonym to forget must not be empty: that is everybody who is not known")
        return sum(self._forget(table, sorted(people)) for table in _TABLES if people)

    def _forget(self, table: str, people: list[str]) -> int:
        named = [column for column in IDENTITIES if column in TABLES[table]]
        if not named:
            return 0
        name = self._dataset.table(table)
        whose = " OR ".join(f"`{column}` IN UNNEST(@people)" for column in named)
        blank = ", ".join(f"`{column}` = NULL" for column in PERSONAL if column in TABLES[table])
        with cloud_errors(f"forget people in {table}"):
            # An update rewrites and is billed for all of a day's columns; most often there is nobody to be found.
            (found,) = self._dataset.run(f"SELECT COUNT(*) AS n FROM {name} WHERE {whose}", {"people": people})
            if found["n"]:
                self._dataset.run(f"UPDATE {name} SET {blank} WHERE {whose}", {"people": people})
        return int(found["n"])

    def _insert(self, table: str, part: str, extent: Extent, source: _Source) -> None:
        # BigQuery forgets a request's id after a quarter of an hour, and others never knew it.
        unless = f"SELECT 1 FROM {self._dataset.table(table)} WHERE {PART} = @part AND {extent.condition}"
        statement = f"{self._into(table)} {source.select} WHERE NOT EXISTS ({unless})"
        self._dataset.run(statement, {"part": part, **source.parameters})

    def _count(self, table: str, part: str, extent: Extent) -> int:
        """The rows of a part. Of two who write it at once, a worker and who took it for dead, neither sees in its
        statement what the other inserts; here, the one that is done last does."""
        which = f"{PART} = @part AND {extent.condition}"
        (found,) = self._dataset.run(
            f"SELECT COUNT(*) AS n FROM {self._dataset.table(table)} WHERE {which}", {"part": part}
        )
        return int(found["n"])

    def _replace(self, table: str, part: str, extent: Extent, source: _Source | None) -> None:
        old = f"DELETE FROM {self._dataset.table(table)} WHERE {PART} = @part AND {extent.condition}"
        if source is None:
            self._dataset.run(old, {"part": part})
            return
        steps = ("BEGIN TRANSACTION", old, f"{self._into(table)} {source.select}", "COMMIT TRANSACTION")
        self._dataset.run(";\n".join(steps), {"part": part, **source.parameters})

    def _into(self, table: str) -> str:
        return f"INSERT INTO {self._dataset.table(table)} ({PART}, {_listed(table)})"

    def _source(self, table: str, rows: Sequence[Row], lines: bytes) -> _Source:
        """The rows, where a statement finds them. `lines` are the same rows as JSON."""
        if len(lines) > INLINE_BYTES:
            staged = ", ".join(
                f"FROM_BASE64(`{name}`)" if kind == "bytes" else f"`{name}`" for name, kind in TABLES[table].items()
            )
            return _Source(f"SELECT @part, {staged} FROM {self._dataset.upload(TABLES[table], lines)}", {})
        cells = ", ".join(_from_json(name, SQL_TYPES[kind]) for name, kind in TABLES[table].items())
        # Every cell is a text: what becomes of a number in JSON on its way is up to who reads it.
        text = msgspec.json.encode([{name: _text(cell) for name, cell in row.items()} for row in rows]).decode()
        return _Source(f"SELECT @part, {cells} FROM UNNEST(JSON_QUERY_ARRAY(@rows)) AS line", {"rows": text})


@dataclass(frozen=True, slots=True)
class _Source:
    """A query for the rows of a part, and the parameters it needs besides @part."""

    select: str
    parameters: Mapping[str, Cell]


def _listed(table: str) -> str:
    return ", ".join(f"`{name}`" for name in TABLES[table])


def _text(cell: Cell) -> str | None:
    if isinstance(cell, bytes):
        return b64encode(cell).decode()
    return cell if cell is None or isinstance(cell, str) else repr(cell)


def _from_json(name: str, kind: str) -> str:
    text = f"JSON_VALUE(line, '$.{name}')"
    if kind == "BYTES":
        return f"FROM_BASE64({text})"
    return text if kind == "STRING" else f"CAST({text} AS {kind})"


def _check_table(table: str) -> None:
    if table not in TABLES:
        raise InvalidInput(f"no table {table!r}; known: {', '.join(TABLES)}")


def _cell(value: Any) -> Cell:
    if isinstance(value, Decimal):
        return float(value)
    if value is None or isinstance(value, (str, int, float, bool, bytes)):
        return value
    raise InvalidInput(f"the query returns a {type(value).__name__}: cast it to text or a number")
