"""What came into the warehouse for the slates of which hour, and so which hours are to be aggregated again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from omakase.ports.warehouse import Row, Warehouse

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# The 48 bits that a request id begins with are when it was made, in milliseconds: eight characters of six bits.
_ISSUED_MS = " + ".join(
    f"(strpos('{_ALPHABET}', substr(request_id, {place}, 1)) - 1) * {64 ** (8 - place)}" for place in range(1, 9)
)

# How many rows each hour has. An order that no delivery is known of has the position 0.
_NOW = """
SELECT hour, sum(deliveries) AS deliveries, sum(events) AS events
FROM (
    SELECT hour, 1 AS deliveries, 0 AS events FROM deliveries WHERE hour >= ?
    UNION ALL
    SELECT hour, 0 AS deliveries, 1 AS events FROM events WHERE hour >= ? AND position > 0
) AS arrived
GROUP BY hour
"""
_KNOWN = "SELECT hour, sum(deliveries) AS deliveries, sum(events) AS events FROM arrivals WHERE hour >= ? GROUP BY hour"

_EVENTS = f"""
WITH event AS (
    SELECT hour, ({_ISSUED_MS}) // 3600000 * 3600 AS served_hour FROM events WHERE hour IN ({{hours}}) AND position > 0
)
SELECT hour, served_hour, count(*) AS n FROM event GROUP BY hour, served_hour
"""  # noqa: S608  our own words

_EXTENT = "SELECT min(served_hour) AS oldest, max(served_hour) AS newest FROM arrivals WHERE deliveries > 0"

_SERVED = """
WITH source AS (
    SELECT served_hour, sum(deliveries) AS deliveries, sum(deliveries + events) AS source_rows
    FROM arrivals
    GROUP BY served_hour
), counted AS (
    SELECT hour, max(source_rows) AS source_rows FROM hourly WHERE hour >= ? AND hour < ? GROUP BY hour
)
SELECT s.served_hour AS hour, s.deliveries, s.source_rows,
    s.source_rows > coalesce(c.source_rows, 0) AS is_grown
FROM source AS s LEFT JOIN counted AS c ON s.served_hour = c.hour
WHERE s.served_hour >= ? AND s.served_hour < ? AND s.deliveries > 0
ORDER BY s.served_hour
"""

_RECEIVED = "SELECT DISTINCT hour FROM arrivals WHERE served_hour IN ({hours})"


@dataclass(frozen=True, slots=True)
class ServedHour:
    """An hour of serving, and of how many rows its aggregates are to be made.

    `is_grown`: they were made of fewer, or never.
    """

    hour: int
    deliveries: int
    source_rows: int
    is_grown: bool


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The table `arrivals`: counts of what the warehouse holds, kept so that no run has to count it all.

    Whatever it says of an hour can be counted again, so nobody's death and no second run at the same time harms it.
    """

    warehouse: Warehouse

    def count(self, since: int) -> None:
        """Count what came into the hours from `since` on.

        Cost: reads the hours of those deliveries and events, and the request ids of the hours that became more.
        """
        known = _totals(self.warehouse.query(_KNOWN, (since,)))
        now = _totals(self.warehouse.query(_NOW, (since, since)))
        changed = {hour: deliveries for hour, (deliveries, _) in now.items() if known.get(hour) != now[hour]}
        if not changed:
            return
        served: dict[int, dict[int, tuple[int, int]]] = {
            hour: {hour: (deliveries, 0)} for hour, deliveries in changed.items()
        }
        for row in self.warehouse.query(_EVENTS.format(hours=_listed(changed))):
            of_hour, served_hour = served[_int(row, "hour")], _int(row, "served_hour")
            deliveries, _ = of_hour.get(served_hour, (0, 0))
            of_hour[served_hour] = (deliveries, _int(row, "n"))
        for hour in sorted(served):
            self.warehouse.append("arrivals", f"hour_{hour}", _rows(hour, served[hour]))

    def newest(self) -> int | None:
        """The newest hour of serving that was counted."""
        (row,) = self.warehouse.query(_EXTENT)
        return None if row["newest"] is None else _int(row, "newest")

    def served(self, since: int | None = None, until: int | None = None) -> list[ServedHour]:
        """The hours of serving that the warehouse has deliveries of, oldest first; from `since` until before `until`.

        Cost: reads one number of each row of `hourly` from the first of these hours on.
        """
        (extent,) = self.warehouse.query(_EXTENT)
        if extent["newest"] is None:
            return []
        first = _int(extent, "oldest") if since is None else since
        end = _int(extent, "newest") + 1 if until is None else until
        return [
            ServedHour(_int(row, "hour"), _int(row, "deliveries"), _int(row, "source_rows"), bool(row["is_grown"]))
            for row in self.warehouse.query(_SERVED, (first, end, first, end))
        ]

    def received(self, hours: Sequence[int]) -> list[int]:
        """The hours in which events of slates of these hours came."""
        return sorted(_int(row, "hour") for row in self.warehouse.query(_RECEIVED.format(hours=_listed(hours))))


def _totals(rows: Sequence[Row]) -> dict[int, tuple[int, int]]:
    """Deliveries and events by hour."""
    return {_int(row, "hour"): (_int(row, "deliveries"), _int(row, "events")) for row in rows}


def _listed(hours: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(hours)))


def _rows(hour: int, counts: dict[int, tuple[int, int]]) -> list[Row]:
    return [
        {"hour": hour, "served_hour": served_hour, "deliveries": deliveries, "events": events}
        for served_hour, (deliveries, events) in sorted(counts.items())
    ]


def _int(row: Row, name: str) -> int:
    return int(row[name] or 0)
