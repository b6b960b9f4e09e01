"""What everything ranks by that needs no model: clicks and impressions by item, made of the aggregates.

With a prior they are the posterior of each item's click rate, a Beta distribution, and its mean is the popularity: see
`omakase.core.counts`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from batch.progress import Progress, nobody_watches
from batch.publishing import publish_changed
from omakase.core.counts import Counts
from omakase.counts import counts_key, encode_counts
from omakase.ports.model_store import ModelStore
from omakase.ports.warehouse import Row, Warehouse

# Faded from the newest hour of the placement on, not from now, so that nothing changes while nothing happens. Whole
# millionths add to the same sum in any order; after ten half-lives an hour counts a thousandth, and is left out.
_COUNTS = """
WITH newest AS (
    SELECT placement, max(hour) AS newest FROM hourly GROUP BY placement
), faded AS (
    SELECT h.placement, h.item_id, coalesce(h.examined, h.impressions) AS examined, h.clicks,
        pow(2.0, (h.hour - n.newest) / ?) * 1000000.0 AS weight
    FROM hourly AS h JOIN newest AS n ON h.placement = n.placement
    WHERE h.hour > n.newest - 10 * ?
)
SELECT placement, item_id,
    sum(CAST(round(examined * weight) AS BIGINT)) AS seen, sum(CAST(round(clicks * weight) AS BIGINT)) AS clicked
FROM faded
GROUP BY placement, item_id
HAVING sum(examined) > 0
ORDER BY placement, item_id
"""
_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class ContextFree:
    """Publishes the counts of each placement, all its variants together.

    An impression counts for as likely as its position was looked at, so that rates are those of the first position.
    Units: after half_life_s what was counted counts half.
    """

    warehouse: Warehouse
    models: ModelStore
    half_life_s: float
    progress: Progress = nobody_watches

    def run(self) -> int:
        """Returns how many placements have counts. Raises: Unavailable; then run it again.

        Guarantees: the same aggregates make the same bytes, which are published once. They are made of all aggregates,
        never of those up to some day: an older state must not replace a newer one.
        """
        counted = self._count()
        for number, (placement, counts) in enumerate(counted.items()):
            self.progress(number, len(counted))
            publish_changed(self.models, counts_key(placement), encode_counts(counts))
        self.progress(len(counted), len(counted))
        return len(counted)

    def _count(self) -> dict[str, Counts]:
        rows: defaultdict[str, list[Row]] = defaultdict(list)
        for row in self.warehouse.query(_COUNTS, (self.half_life_s, self.half_life_s)):
            rows[str(row["placement"])].append(row)
        return {
            placement: Counts(
                tuple(str(row["item_id"]) for row in items),
                np.array([row["seen"] for row in items], dtype=np.float64) / _MILLION,
                np.array([row["clicked"] for row in items], dtype=np.float64) / _MILLION,
            )
            for placement, items in rows.items()
        }
