"""How likely positions are looked at, told from history where a placement asks for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from batch.publishing import publish_changed
from omakase.core.examination import Examination, Looks, estimate
from omakase.core.tables import hour_of
from omakase.examination import encode_examination, examination_key
from omakase.outcomes import SHOWN
from omakase.ports.clock import Clock
from omakase.ports.model_store import ModelStore
from omakase.ports.warehouse import Warehouse

log = logging.getLogger(__name__)

_WINDOW_S = 7 * 86_400

# A row for each item, position, and whether something was predicted. Any event implies the impression; a delivery with
# an unwanted one is left out. The examination that a prediction was recorded with is taken out of it again; a linear
# prediction may be 0 where clicks do come, so it counts for no less than a tenth of the placement's click rate.
_LOOKS = f"""
WITH outcome AS (
    SELECT request_id, position, max(CASE WHEN type = 'click' THEN 1.0 ELSE 0.0 END) AS clicked
    FROM events
    WHERE hour >= ?
    GROUP BY request_id, position
    HAVING count(unwanted) = 0
), served AS (
    SELECT request_id, position, min(item_id) AS item_id, min(predicted_click / examination) AS predicted
    FROM deliveries
    WHERE hour >= ? AND placement = ? AND NOT fallback AND {SHOWN}
    GROUP BY request_id, position
), seen AS (
    SELECT s.position, s.item_id, s.predicted, o.clicked
    FROM served AS s JOIN outcome AS o ON s.request_id = o.request_id AND s.position = o.position
), rated AS (
    SELECT avg(clicked) AS rate FROM seen
)
SELECT s.item_id, s.predicted IS NULL AS is_blind, s.position, sum(s.clicked) AS clicks,
    sum(CASE WHEN s.predicted IS NULL THEN 1.0 ELSE greatest(s.predicted, 0.1 * r.rate) END) AS expected
FROM seen AS s CROSS JOIN rated AS r
GROUP BY s.item_id, s.predicted IS NULL, s.position
"""  # noqa: S608  our own words


@dataclass(frozen=True, slots=True)
class Examinations:
    """Estimates the examination of some placements from the last seven days."""

    warehouse: Warehouse
    models: ModelStore
    clock: Clock
    placements: Sequence[str]

    def run(self) -> int:
        """Returns how many placements there was something to tell of. Raises: Unavailable; then run it again."""
        told = 0
        for placement in self.placements:
            examination = self._estimate(placement)
            if examination is not None:
                publish_changed(self.models, examination_key(placement), encode_examination(examination))
                log.info("examination of %s by position: %s", placement, examination.shares)
                told += 1
        return told

    def _estimate(self, placement: str) -> Examination | None:
        since = hour_of(self.clock.now() - _WINDOW_S)
        rows = self.warehouse.query(_LOOKS, (since, since, placement))
        if not rows:
            return None
        groups: dict[tuple[object, object], int] = {}
        numbers = [groups.setdefault((row["item_id"], row["is_blind"]), len(groups)) for row in rows]
        return estimate(
            Looks(
                np.array(numbers, dtype=np.intp),
                np.array([row["position"] for row in rows], dtype=np.intp),
                np.array([row["clicks"] for row in rows], dtype=np.float64),
                np.array([row["expected"] for row in rows], dtype=np.float64),
            )
        )
