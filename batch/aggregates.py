"""The aggregates: what became of the deliveries of each hour, by where, by whom, what and at which position."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batch.arrivals import Arrivals, ServedHour
from batch.progress import Progress, nobody_watches
from omakase.core.tables import hour_of
from omakase.outcomes import SHOWN, outcome_of
from omakase.ports.clock import Clock
from omakase.ports.warehouse import Row, Warehouse

DAY_S = 86_400

# Hours are aggregated together as long as they have fewer deliveries than this, so that many quiet ones take one query
# and no run holds more than a busy one.
_TOGETHER = 150_000

# Most of what came in those hours is about slates of other hours.
_OF_THESE = "hour IN ({received}) AND request_id IN (SELECT request_id FROM deliveries WHERE hour IN ({hours}))"

# A delivery that was loaded twice is there twice. `examined` counts an impression for as likely as its position was
# looked at. What was tried out, or shown to nobody, says nothing of people.
_AGGREGATE = """
WITH {outcome}, delivery AS (
    SELECT request_id, position, min(hour) AS hour, min(placement) AS placement, min(variant) AS variant,
        min(policy) AS policy, min(item_id) AS item_id, min(examination) AS examination
    FROM deliveries
    WHERE hour IN ({hours}) AND {shown}
    GROUP BY request_id, position
)
SELECT d.hour, d.placement, d.variant, d.policy, d.item_id, d.position,
    count(*) AS deliveries,
    count(o.request_id) AS impressions,
    sum(CASE WHEN o.request_id IS NULL THEN 0.0 ELSE coalesce(d.examination, 1.0) END) AS examined,
    sum(CASE WHEN o.clicked THEN 1 ELSE 0 END) AS clicks,
    sum(coalesce(o.conversions, 0)) AS conversions,
    sum(coalesce(o.value, 0.0)) AS value
FROM delivery AS d LEFT JOIN outcome AS o ON d.request_id = o.request_id AND d.position = o.position
GROUP BY d.hour, d.placement, d.variant, d.policy, d.item_id, d.position
ORDER BY d.hour, d.placement, d.variant, d.policy, d.item_id, d.position
"""


@dataclass(frozen=True, slots=True)
class Written:
    """What a run wrote."""

    hours: int
    rows: int


@dataclass(frozen=True, slots=True)
class Aggregates:
    """Aggregates the hours whose deliveries, or whose deliveries' events, became more since they were aggregated.

    Each hour is one part, whose rows say of how many rows it was made. So a run may be repeated, die, or cross another:
    an hour that was made of fewer rows than there are is made again. An hour whose deliveries were dropped for their
    age stays as it was. Units: window_s is the reward window and how long a delayed message is waited for. What is more
    overdue than that is found by the runs of the first hour of a day, UTC.
    """

    warehouse: Warehouse
    clock: Clock
    window_s: float
    progress: Progress = nobody_watches

    def run(self) -> Written:
        """Returns what was written. Raises: Unavailable; then run it again.

        Cost: counts the last `window_s`, reads the hours that are to be made again and the events of their deliveries;
        memory for the aggregates of one busy hour.
        """
        arrivals = Arrivals(self.warehouse)
        arrivals.count(self._since(arrivals.newest()))
        return self._aggregate(arrivals, [served for served in arrivals.served() if served.is_grown])

    def run_day(self, day: int) -> Written:
        """Make every hour of a day anew, whatever came. Units: the start of the day, UTC, in Unix seconds.

        Returns and Raises as `run`. Guarantees: the same of the same rows, and the same as `run` makes.
        """
        arrivals = Arrivals(self.warehouse)
        # Clocks differ: an event may have come the hour before its slate.
        arrivals.count(day - 3600)
        return self._aggregate(arrivals, arrivals.served(day, day + DAY_S))

    def _since(self, newest: int | None) -> int:
        """From which hour on something may have come since the last run, however long ago that was."""
        now = self.clock.now()
        if newest is None or hour_of(now) % DAY_S == 0:
            return 0
        return hour_of(min(now, newest) - self.window_s)

    def _aggregate(self, arrivals: Arrivals, served: Sequence[ServedHour]) -> Written:
        hours = rows = 0
        self.progress(0, len(served))
        for number, some in _in_groups(served):
            by_hour = self._count(arrivals, [one.hour for one in some])
            for one in some:
                if by_hour[one.hour]:
                    made = [{**row, "source_rows": one.source_rows} for row in by_hour[one.hour]]
                    # Not `hour-`: hours are no series, each may be written again.
                    self.warehouse.append("hourly", f"hour_{one.hour}", made)
                    hours, rows = hours + 1, rows + len(made)
            self.progress(number, len(served))
        return Written(hours, rows)

    def _count(self, arrivals: Arrivals, hours: Sequence[int]) -> defaultdict[int, list[Row]]:
        """The aggregates, by hour of serving."""
        received = sorted({*hours, *arrivals.received(hours)})
        which = _OF_THESE.format(received=_listed(received), hours=_listed(hours))
        asked = _AGGREGATE.format(outcome=outcome_of(which), hours=_listed(hours), shown=SHOWN)
        by_hour: defaultdict[int, list[Row]] = defaultdict(list)
        for row in self.warehouse.query(asked):
            by_hour[int(row["hour"] or 0)].append(row)
        return by_hour


def _in_groups(served: Sequence[ServedHour]) -> Iterator[tuple[int, list[ServedHour]]]:
    """Hours to be aggregated together, and how many they are with those before."""
    group: list[ServedHour] = []
    done = deliveries = 0
    for one in served:
        if group and deliveries + one.deliveries > _TOGETHER:
            done += len(group)
            yield done, group
            group, deliveries = [], 0
        group.append(one)
        deliveries += one.deliveries
    if group:
        yield done + len(group), group


def _listed(hours: Sequence[int]) -> str:
    return ", ".join(map(str, hours))
