"""What keeps the warehouse small: many parts become few, and what is older than the retention goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from omakase.core.tables import hour_of
from omakase.ports.clock import Clock
from omakase.ports.dead_letters import DeadLetters
from omakase.ports.warehouse import Table, Warehouse

# Counts without people: reports reach further back than rows.
KEPT = frozenset({"hourly"})


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Units: retention_s is how long rows about single people are kept. Without `letters`, they are kept elsewhere."""

    warehouse: Warehouse
    letters: DeadLetters | None
    clock: Clock
    retention_s: float

    def compact(self) -> int:
        """Returns how many files there are fewer. Raises: Unavailable; then run it again."""
        return sum(self.warehouse.compact(table) for table in get_args(Table))

    def retain(self) -> int:
        """Dead letters go too. Returns how many hours of tables went. Raises: Unavailable; then run it again."""
        before = hour_of(self.clock.now() - self.retention_s)
        if self.letters is not None:
            self.letters.expire(before)
        return sum(self.warehouse.expire(table, before) for table in get_args(Table) if table not in KEPT)
