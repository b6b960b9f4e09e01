"""Which batches of a model the warehouse has the examples of.

A trainer's examples are there before its batch counts. A stream's come after it, in parts, in any order and minutes
late: so a number that is there says nothing of the numbers below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from omakase.ports.model_store import ModelKey
from omakase.ports.warehouse import Warehouse

# By how old what follows a hole is: what is missing before it has expired, or is lost, and does not come any more.
_OVER_S = 7 * 86_400.0
# The batches above holes, and the last one of each shard. A batch may be all corrections of old slates; a thousand
# are not.
_HOLES = """
SELECT shard, sequence, below, newest, above IS NULL AS is_last FROM (
    SELECT shard, sequence,
        lag(sequence) OVER (PARTITION BY shard ORDER BY sequence NULLS FIRST) AS below,
        lead(sequence) OVER (PARTITION BY shard ORDER BY sequence NULLS FIRST) AS above,
        max(hour) OVER (
            PARTITION BY shard ORDER BY sequence NULLS FIRST ROWS BETWEEN CURRENT ROW AND 999 FOLLOWING
        ) AS newest
    FROM (
        SELECT shard, sequence, max(hour) AS hour FROM examples WHERE model = ? GROUP BY shard, sequence
    ) AS batches
) AS neighbours
WHERE above IS NULL OR sequence > coalesce(below, 0) + 1 ORDER BY shard, sequence
"""


class Hole(NamedTuple):
    """Batches that are not there: those between two numbers. Units: newest in Unix seconds, of what follows them."""

    below: int
    above: int
    newest: int


@dataclass(frozen=True, slots=True)
class Extent:
    """The batches of one shard of which there are examples: all up to `last` but those in `holes`."""

    shard: str
    last: int
    holes: tuple[Hole, ...] = ()

    @property
    def first(self) -> int:
        """The first that is there."""
        return self.holes[0].above if self.holes and not self.holes[0].below else 1

    def whole(self, now: float) -> int:
        """Up to which batch there is everything that will ever be."""
        return min((hole.below for hole in self.holes if hole.newest > now - _OVER_S), default=self.last)

    def missing(self, through: int) -> int:
        """How many are not there between the first that is and `through`."""
        within = sum(min(hole.above - 1, through) - hole.below for hole in self.holes if 0 < hole.below < through)
        return within + max(0, through - max(self.last, self.first - 1))


def extents(warehouse: Warehouse, key: ModelKey) -> dict[str, Extent]:
    """By shard. Cost: reads three columns of the model's examples. Raises: Unavailable."""
    found: dict[str, Extent] = {}
    holes: list[Hole] = []
    for row in warehouse.query(_HOLES, (key,)):
        sequence, below, newest = (int(row[name] or 0) for name in ("sequence", "below", "newest"))
        if sequence > below + 1:
            holes.append(Hole(below, sequence, newest))
        if row["is_last"]:
            shard = str(row["shard"])
            found[shard] = Extent(shard, sequence, tuple(holes))
            holes.clear()
    return found
