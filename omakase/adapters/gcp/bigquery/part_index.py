"""Which part of a series is the newest, and of which hours its rows are: a table of a row for each series."""

# ruff: noqa: S608  the names are our own, and values are parameters

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from omakase.adapters.gcp.bigquery.dataset import Dataset
from omakase.adapters.local.series import order_of, series_of
from omakase.core.tables import Columns
from omakase.ports.warehouse import Cell

TABLE = "parts"
COLUMNS: Columns = {
    "of": "text",
    "series": "text",
    "part": "text",
    "first_hour": "integer",
    "last_hour": "integer",
}
"""Of the index. `of` is a table of the port."""

_WHICH = "`of` = @of AND series = @series"


@dataclass(frozen=True, slots=True)
class Extent:
    """Hours from `first` to `last`; none if `first` is later."""

    first: int = 1
    last: int = 0

    @classmethod
    def of(cls, hours: Collection[int]) -> Extent:
        return cls(min(hours), max(hours)) if hours else cls()

    def with_(self, other: Extent) -> Extent:
        """The least that has both."""
        hours = [hour for one in (self, other) if one.first <= one.last for hour in (one.first, one.last)]
        return Extent.of(hours)

    @property
    def condition(self) -> str:
        """Written out, so that BigQuery knows before it starts which partitions are not read."""
        return f"hour BETWEEN {self.first} AND {self.last}"


@dataclass(frozen=True, slots=True)
class Known:
    """The newest part of a series."""

    part: str
    extent: Extent

    def is_after(self, part: str) -> bool:
        """Whether `part`, of the same series, is older, and so not to be written again."""
        return order_of(part) < order_of(self.part)


class PartIndex:
    """One writer at a time for each series; any number of series."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._table = dataset.table(TABLE)

    def newest(self, table: str, part: str) -> Known | None:
        """The newest of the series that `part` is of. Raises: what Google's client raises."""
        rows = self._dataset.run(
            f"SELECT part, first_hour, last_hour FROM {self._table} WHERE {_WHICH}",
            {"of": table, "series": series_of(part)},
        )
        if not rows:
            return None
        # A series has several rows if a note of it was repeated.
        newest = max((row["part"] for row in rows), key=order_of)
        extent = Extent()
        for row in rows:
            if row["part"] == newest:
                extent = extent.with_(Extent(row["first_hour"], row["last_hour"]))
        return Known(newest, extent)

    def note(self, table: str, part: str, known: Known | None, extent: Extent) -> None:
        """That `part`, which is now the newest, has or will have rows of these hours, besides those known of it.

        Raises: what Google's client raises. Cost: nothing if that is known.
        """
        if known and known.part == part:
            extent = known.extent.with_(extent)
            if extent == known.extent:
                return
        cells: dict[str, Cell] = {
            "of": table,
            "series": series_of(part),
            "part": part,
            "first_hour": extent.first,
            "last_hour": extent.last,
        }
        if known:
            changed = "part = @part, first_hour = @first_hour, last_hour = @last_hour"
            self._dataset.run(f"UPDATE {self._table} SET {changed} WHERE {_WHICH}", cells)
        else:
            names = ", ".join(f"`{name}`" for name in cells)
            values = ", ".join(f"@{name}" for name in cells)
            self._dataset.run(f"INSERT INTO {self._table} ({names}) VALUES ({values})", cells)

    def expire(self, table: str, before_hour: int) -> None:
        """Drop what is known of parts whose hours are all gone, and which are a series of their own."""
        self._dataset.run(
            f"DELETE FROM {self._table} WHERE `of` = @of AND series = part AND last_hour < @before",
            {"of": table, "before": before_hour},
        )
