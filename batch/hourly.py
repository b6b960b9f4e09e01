"""The hourly aggregates, and from them the popularity that the fallback ranks by."""

from __future__ import annotations

import logging
from base64 import urlsafe_b64decode
from dataclasses import dataclass

from batch.rows import hour_of
from omakase.core.errors import Conflict, Corrupt
from omakase.core.ids import RequestId, issued_at
from omakase.popularity import encode_popularity, popularity_key
from omakase.ports.clock import Clock
from omakase.ports.model_store import ABSENT, ModelStore
from omakase.ports.warehouse import Warehouse

log = logging.getLogger(__name__)

# An hour is that of serving. Counted by the trainer's rules: a person sees and clicks a delivery once, anything else
# repeats itself only by its `event_id`; any event implies the impression, unless one of the delivery's events is
# unwanted; a return takes back its conversion, as much as it says or all of it.
_AGGREGATE = """
WITH happened AS (
    SELECT request_id, position, type, event_id, first(value ORDER BY received_at, receipt_id) AS value,
        count(unwanted) AS unwanted
    FROM events
    WHERE hour >= ?
    GROUP BY request_id, position, type, event_id,
        CASE WHEN event_id <> '' OR type IN ('impression', 'click') THEN '' ELSE receipt_id END
), returned AS (
    SELECT request_id, position, event_id, value AS back FROM happened WHERE type = 'return'
), outcome AS (
    SELECT h.request_id, h.position, bool_or(type = 'click') AS clicked,
        sum(CASE
            WHEN type = 'return' THEN 0.0
            WHEN r.event_id IS NULL THEN value
            ELSE value - coalesce(back, value)
        END) AS value
    FROM happened AS h LEFT JOIN returned AS r
        ON type = 'conversion' AND (h.request_id, h.position, h.event_id) = (r.request_id, r.position, r.event_id)
    GROUP BY h.request_id, h.position
    HAVING sum(unwanted) = 0
)
SELECT d.hour, d.placement, d.variant, d.policy, d.item_id,
    count(*) AS deliveries,
    count(o.request_id) AS impressions,
    count(*) FILTER (WHERE o.clicked) AS clicks,
    coalesce(sum(o.value), 0.0) AS value
FROM (SELECT DISTINCT ON (request_id, position) * FROM deliveries WHERE hour >= ?) AS d
LEFT JOIN outcome AS o USING (request_id, position)
GROUP BY ALL
ORDER BY ALL
"""

# Orders may be due to slates of long ago.
_ORDERED = """
SELECT DISTINCT request_id FROM events WHERE hour >= ? AND type IN ('conversion', 'return') AND position > 0
"""

# Clicks per impression, shrunk towards the placement's own rate with the weight of 100 impressions.
_POPULARITY = """
WITH item AS (
    SELECT placement, item_id, sum(impressions) AS seen, sum(clicks) AS clicked FROM hourly WHERE hour >= ? GROUP BY ALL
), placement AS (
    SELECT placement, sum(clicked) / greatest(sum(seen), 1) AS rate FROM item GROUP BY ALL
)
SELECT placement, item_id FROM item JOIN placement USING (placement)
ORDER BY placement, (clicked + 100 * rate) / (seen + 100) DESC, item_id
"""


@dataclass(frozen=True, slots=True)
class Hourly:
    """Recomputes every hour whose deliveries may still be clicked, and older ones that an order was due to since.

    Idempotent: each hour is one part. Units: window_s is the reward window and how long a delayed message is waited
    for.
    """

    warehouse: Warehouse
    models: ModelStore
    clock: Clock
    window_s: float

    def run(self) -> int:
        """Returns how many hours were written. Raises: Unavailable."""
        since = hour_of(self.clock.now() - self.window_s)
        ordered = {_hour_of_slate(str(row["request_id"])) for row in self.warehouse.query(_ORDERED, (since,))}
        oldest = min(ordered | {since})
        rows = self.warehouse.query(_AGGREGATE, (oldest, oldest))
        hours = sorted({hour for row in rows if (hour := int(row["hour"] or 0)) >= since or hour in ordered})
        for hour in hours:
            # Not `hour-`: hours are no series, each may be written again.
            self.warehouse.append("hourly", f"hour_{hour}", [row for row in rows if row["hour"] == hour])
        self._publish_popularity(since)
        return len(hours)

    def _publish_popularity(self, since: int) -> None:
        ranking: dict[str, list[str]] = {}
        for row in self.warehouse.query(_POPULARITY, (since,)):
            ranking.setdefault(str(row["placement"]), []).append(str(row["item_id"]))
        for placement, item_ids in ranking.items():
            key = popularity_key(placement)
            body = encode_popularity(item_ids)
            try:
                newest, generation = self.models.latest(key) or (None, ABSENT)
            except Corrupt as error:
                log.error("popularity of %s is made anew: %s", placement, error)
                newest, generation = None, self.models.generation(key)
            if newest == body:
                continue
            try:
                self.models.publish(key, body, if_generation=generation)
            except Conflict:
                log.info("popularity of %s was published by another run", placement)


def _hour_of_slate(request_id: str) -> int:
    """When it was served, from the time that its id begins with."""
    return hour_of(issued_at(RequestId(urlsafe_b64decode(request_id[:8]))))
