"""Port: where history is kept and asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

Cell: TypeAlias = str | int | float | bool | bytes | None
Row: TypeAlias = Mapping[str, Cell]
Table: TypeAlias = Literal["deliveries", "events", "examples", "hourly"]


class Warehouse(Protocol):
    """Append-only tables with fixed columns, cut by hour, written in parts.

    Each table's columns are declared once, in `omakase.core.tables`; times are Unix seconds, UTC.
    """

    def append(self, table: Table, part: str, rows: Sequence[Row]) -> None:
        """Keep `rows` as the part named `part`. Idempotent: a part written again replaces itself.

        Guarantees: a reader sees all of a part or nothing. Raises: Unavailable; InvalidInput for unknown columns.
        """

    def query(self, sql: str, parameters: Sequence[Cell] = ()) -> list[dict[str, Cell]]:
        """Ask in SQL; each table of the port is a view. A table without rows is empty, not missing.

        Raises: InvalidInput with the engine's message; Unavailable.
        """
