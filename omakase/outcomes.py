"""What became of a delivery, in SQL over the warehouse: the same for reports, for counts and for experiments."""

from __future__ import annotations

# Conditions on `deliveries`. Rows from before the columns were there have nulls.
SHOWN = "shadow IS NOT TRUE AND assigned_by IS DISTINCT FROM 'override'"
"""What people saw who came by themselves: no shadows, and nothing that somebody tried out."""

# A row for each delivery that something happened to, by the trainer's rules: a person sees and clicks a delivery once,
# anything else repeats itself only by its `event_id`; any event implies the impression, unless one of the delivery's
# events is unwanted: then there is no row; a return takes back its conversion, as much as it says or all of it.
_OUTCOME = """numbered AS (
    SELECT request_id, position, type, event_id, value,
        row_number() OVER (PARTITION BY request_id, position, type, event_id, own ORDER BY received_at, receipt_id)
            AS nth,
        count(unwanted) OVER (PARTITION BY request_id, position, type, event_id, own) AS unwanted
    FROM (
        SELECT request_id, position, type, event_id, value, received_at, receipt_id, unwanted,
            CASE WHEN event_id <> '' OR type IN ('impression', 'click') THEN '' ELSE receipt_id END AS own
        FROM events
        WHERE {which}
    ) AS accepted
), happened AS (
    SELECT request_id, position, type, event_id, value, unwanted FROM numbered WHERE nth = 1
), returned AS (
    SELECT request_id, position, event_id, value AS back FROM happened WHERE type = 'return'
), outcome AS (
    SELECT h.request_id, h.position, bool_or(h.type = 'click') AS clicked,
        sum(CASE
            WHEN h.type = 'conversion' AND (r.event_id IS NULL OR h.value > coalesce(r.back, h.value)) THEN 1 ELSE 0
        END) AS conversions,
        sum(CASE
            WHEN h.type = 'return' THEN 0.0
            WHEN r.event_id IS NULL THEN h.value
            ELSE h.value - coalesce(r.back, h.value)
        END) AS value
    FROM happened AS h LEFT JOIN returned AS r
        ON h.type = 'conversion' AND h.request_id = r.request_id AND h.position = r.position
            AND h.event_id = r.event_id
    GROUP BY h.request_id, h.position
    HAVING sum(h.unwanted) = 0
)"""


def outcome_of(which: str) -> str:
    """The table expressions `happened`, `returned` and `outcome`, of the events for which a condition holds."""
    return _OUTCOME.format(which=which)


OUTCOME = outcome_of("hour >= ?")
"""The same. Parameter: from which hour on events are looked at."""
