"""The job `forget`: rows of forgotten people that were on their way into the warehouse when they were forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from omakase.core.tables import IDENTITIES, TABLES, hour_of
from omakase.ports.clock import Clock
from omakase.ports.forgotten import Forgotten
from omakase.ports.warehouse import Warehouse

# A bus keeps what nobody has read for a week at most; a day more is for who reads it, and for runs that were missed.
ON_THE_WAY_S = 8 * 86_400.0
_MANY = 500
_NAMED = """
SELECT person, sha256(person) AS hash, min(hour) AS hour
FROM (SELECT "{column}" AS person, hour FROM {table} WHERE hour >= ? AND hour <= ?) AS named
WHERE person <> '' AND sha256(person) IN ({wanted}) GROUP BY person
"""


@dataclass(frozen=True, slots=True)
class Forget:
    """Makes them nobody's, as those are that were there in time.

    Who is forgotten and comes back is another person, until a row of the first is found: then what they did since is
    nobody's, too.
    """

    warehouse: Warehouse
    forgotten: Forgotten
    clock: Clock

    def run(self) -> int:
        """Returns how many rows it changed. Idempotent. Raises: Unavailable; then run it again.

        Cost: where nobody was forgotten for eight days, one question to the port. Else a query per 500 of them, of the
        people in the rows of up to sixteen days, and where it finds any, what `Warehouse.forget` costs.
        """
        lately = self.forgotten.since(self.clock.now() - ON_THE_WAY_S)
        hashes, found = sorted(lately), set[str]()
        for start in range(0, len(hashes), _MANY):
            found.update(self._came_late(hashes[start : start + _MANY], lately))
        return self.warehouse.forget(sorted(found)) if found else 0

    def _came_late(self, hashes: Sequence[str], lately: Mapping[str, float]) -> Iterator[str]:
        """Whom of them rows name that were made in the hour when they were forgotten, or before."""
        since = hour_of(min(lately[one] for one in hashes) - ON_THE_WAY_S)
        until = hour_of(max(lately[one] for one in hashes))
        wanted = ", ".join("?" for _ in hashes)
        for table, columns in TABLES.items():
            for column in (name for name in IDENTITIES if name in columns):
                asked = _NAMED.format(column=column, table=table, wanted=wanted)
                rows = self.warehouse.query(asked, (since, until, *hashes))
                yield from (str(row["person"]) for row in rows if int(row["hour"] or 0) <= lately[str(row["hash"])])
