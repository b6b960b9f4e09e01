"""What became of a delivery, in SQL over the warehouse: the same for reports, for counts and for experiments."""

from __future__ import annotations

# Conditions on `deliveries`. Rows from before the columns were there have nulls.
SHOWN = "shadow IS NOT TRUE AND assigned_by IS DISTINCT FROM 'override'"
"""What people saw who came by themselves: no shadows, and nothing that somebody tried out."""

# A row for each delivery that something happened to, by the trainer's rules: a person sees and clicks a delivery once,
# anything else repeats itself only by its `event_id`; any event implies the impression, unless one of the delivery's
# events is unwanted: then there is no row; a return takes back its conversion, as much as it says or all of it.
OUTCOME = """happened AS (
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
        count(*) FILTER (
            WHERE type = 'conversion' AND (r.event_id IS NULL OR value > coalesce(back, value))
        ) AS conversions,
        sum(CASE
            WHEN type = 'return' THEN 0.0
            WHEN r.event_id IS NULL THEN value
            ELSE value - coalesce(back, value)
        END) AS value
    FROM happened AS h LEFT JOIN returned AS r
        ON type = 'conversion' AND (h.request_id, h.position, h.event_id) = (r.request_id, r.position, r.event_id)
    GROUP BY h.request_id, h.position
    HAVING sum(unwanted) = 0
)"""
"""The table expressions `happened`, `returned` and `outcome`. Parameter: from which hour on events are looked at."""
