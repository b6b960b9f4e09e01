"""The hourly aggregates, and from them the counts that everything ranks by that needs no model."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from batch.publishing import publish_changed
from omakase.core.counts import Counts
from omakase.core.ids import RequestId, issued_at
from omakase.core.tables import hour_of
from omakase.counts import counts_key, encode_counts
from omakase.outcomes import OUTCOME, SHOWN
from omakase.ports.clock import Clock
from omakase.ports.model_store import ModelStore
from omakase.ports.warehouse import Row, Warehouse

# An hour is that of serving; `examined` counts an impression for as likely as its position was looked at. What was
# tried out, or shown to nobody, says nothing of people.
_AGGREGATE = f"""
WITH {OUTCOME}
SELECT d.hour, d.placement, d.variant, d.policy, d.item_id,
    count(*) AS deliveries,
    count(o.request_id) AS impressions,
    sum(CASE WHEN o.request_id IS NULL THEN 0.0 ELSE coalesce(d.examination, 1.0) END) AS examined,
    count(*) FILTER (WHERE o.clicked) AS clicks,
    coalesce(sum(o.value), 0.0) AS value
FROM (SELECT DISTINCT ON (request_id, position) * FROM deliveries WHERE hour >= ? AND {SHOWN}) AS d
LEFT JOIN outcome AS o USING (request_id, position)
GROUP BY ALL
ORDER BY ALL
"""  # noqa: S608  our own words

_NEWEST = "SELECT max(hour) AS newest FROM hourly"

# Orders may be due to slates of long ago.
_ORDERED = """
SELECT DISTINCT request_id FROM events WHERE hour >= ? AND type IN ('conversion', 'return') AND position > 0
"""

# Faded from the newest hour of the placement on, not from now, so that nothing changes while nothing happens. Decimals
# add to the same sum in any order; after ten half-lives an hour counts a thousandth, and is left out.
_COUNTS = """
WITH faded AS (
    SELECT placement, item_id, coalesce(examined, impressions) AS examined, clicks,
        pow(2.0, (hour - newest) / ?) AS weight
    FROM hourly JOIN (SELECT placement, max(hour) AS newest FROM hourly GROUP BY ALL) USING (placement)
    WHERE hour > newest - 10 * ?
)
SELECT placement, item_id,
    sum(CAST(examined * weight AS DECIMAL(38, 6))) AS seen, sum(CAST(clicks * weight AS DECIMAL(38, 6))) AS clicked
FROM faded
GROUP BY placement, item_id
HAVING sum(examined) > 0
ORDER BY placement, item_id
"""


@dataclass(frozen=True, slots=True)
class Hourly:
    """Recomputes every hour whose deliveries may still be clicked, or might have been since the last run, however long
    ago that was, and older ones that an order was due to since.

    Idempotent: each hour is one part. Units: window_s is the reward window and how long a delayed message is waited
    for; after half_life_s what was counted counts half.
    """

    warehouse: Warehouse
    models: ModelStore
    clock: Clock
    window_s: float
    half_life_s: float

    def run(self) -> int:
        """Returns how many hours were written. Raises: Unavailable."""
        since = self._since()
        ordered = {_hour_of_slate(str(row["request_id"])) for row in self.warehouse.query(_ORDERED, (since,))}
        oldest = min(ordered | {since})
        rows = self.warehouse.query(_AGGREGATE, (oldest, oldest))
        hours = sorted({hour for row in rows if (hour := int(row["hour"] or 0)) >= since or hour in ordered})
        for hour in hours:
            # Not `hour-`: hours are no series, each may be written again.
            self.warehouse.append("hourly", f"hour_{hour}", [row for row in rows if row["hour"] == hour])
        for placement, counts in self._count().items():
            publish_changed(self.models, counts_key(placement), encode_counts(counts))
        return len(hours)

    def _since(self) -> int:
        """The first hour that may not be final yet. What was final when the newest one was written, still is."""
        (row,) = self.warehouse.query(_NEWEST)
        newest = row["newest"]
        return hour_of(min(self.clock.now(), float(newest or 0)) - self.window_s)

    def _count(self) -> dict[str, Counts]:
        """The counts of every placement, all its variants together."""
        rows: defaultdict[str, list[Row]] = defaultdict(list)
        for row in self.warehouse.query(_COUNTS, (self.half_life_s, self.half_life_s)):
            rows[str(row["placement"])].append(row)
        return {
            placement: Counts(
                tuple(str(row["item_id"]) for row in items),
                np.array([row["seen"] for row in items], dtype=np.float64),
                np.array([row["clicked"] for row in items], dtype=np.float64),
            )
            for placement, items in rows.items()
        }


def _hour_of_slate(request_id: str) -> int:
    """When it was served, from the time that its id begins with."""
    return hour_of(issued_at(RequestId(urlsafe_b64decode(request_id[:8]))))
