"""Port: where history is kept and asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

Cell: TypeAlias = str | int | float | bool | bytes | None
Row: TypeAlias = Mapping[str, Cell]
Table: TypeAlias = Literal[
    "deliveries", "propensities", "events", "examples", "hourly", "arrivals", "tallies", "publications"
]


class Warehouse(Protocol):
    """Tables with fixed columns, cut by hour, written in parts.

    Each table's columns are declared once, in `omakase.core.tables`; times are Unix seconds, UTC.

    Parts named `<series>-<digits>` are a series. It is written in the order of the numbers, by one writer at a time,
    and only its newest part may ever be written again: a writer that dies repeats what it did last, and nothing older.
    A part of any other name is a series of its own, and may be written again at any time.
    """

    def append(self, table: Table, part: str, rows: Sequence[Row]) -> None:
        """Keep `rows` as the part named `part`. Idempotent: a part written again replaces itself.

        Guarantees: a reader sees all of a part or nothing. Raises: Unavailable; InvalidInput for unknown columns, and
        for a part older than the newest of its series. Cost: does not grow with what is there.
        """

    def query(self, sql: str, parameters: Sequence[Cell] = ()) -> list[dict[str, Cell]]:
        """Ask in SQL; each table of the port is a view. A table without rows is empty, not missing.

        Raises: InvalidInput with the engine's message; Unavailable.
        """

    def compact(self, table: Table) -> int:
        """Merge parts that nobody may write again, so that queries stay fast. Returns how many files it saved.

        Guarantees: a query sees every row once, before, during and after, whoever dies; appends go on meanwhile.
        Raises: Unavailable; then nothing is lost, call again.
        """

    def expire(self, table: Table, before_hour: int) -> int:
        """Delete the rows of the hours before `before_hour`. Returns how many hours went; each goes as a whole.

        Raises: Unavailable; then call again.
        """

    def forget(self, people: Collection[str]) -> int:
        """Make these pseudonyms' rows nobody's: columns that are personal become null. Returns how many rows changed.

        Guarantees: reaches every row appended before the call; a reader sees each row once, before or after.
        Raises: InvalidInput for an empty pseudonym; Unavailable, then call again. Cost: reads the personal columns of
        the whole warehouse, so give many people at once.
        """
