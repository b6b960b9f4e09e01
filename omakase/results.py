"""What experiments came to, read from the warehouse: people are added up there, and judged in `omakase.core`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from omakase.core.experiment_results import METRICS, ArmResult, Difference, Metric, Outcomes, compare
from omakase.core.sample_ratio import SampleRatio, check_sample_ratio
from omakase.core.tables import hour_of
from omakase.groups import Group, Kind
from omakase.outcomes import OUTCOME, SHOWN
from omakase.ports.warehouse import Cell, Row, Warehouse

# What each slate belongs to: the arms of an experiment, wherever it runs, or those of a placement. Every slate has a
# first position; what tracking took twice is there twice.
_SLATES = f"""
WITH wanted AS ({{wanted}}),
slate AS (
    SELECT d.request_id, w.kind, w.name, min(d.unit) AS unit, min(d."user") AS "user", min(d.variant) AS variant,
        min(d.served_at) AS served_at
    FROM (
        SELECT *, CASE
            WHEN assigned_by = 'holdout' THEN 'holdout' WHEN experiment <> '' THEN 'experiment' ELSE 'share'
        END AS kind, CASE WHEN experiment <> '' AND assigned_by <> 'holdout' THEN experiment ELSE placement END AS name
        FROM deliveries
        WHERE hour >= ? AND position = 1 AND unit <> '' AND {SHOWN}
    ) AS d JOIN wanted AS w ON d.kind = w.kind AND d.name = w.name AND d.served_at >= w.since
    WHERE {{which}}
    GROUP BY d.request_id, w.kind, w.name
)"""  # noqa: S608  our own words

# A person is of the arm they saw first, with all they did. Most did the same little, so people come by the group.
_PEOPLE = f"""
{_SLATES}, {OUTCOME}, done AS (
    SELECT request_id, count(*) AS impressions, sum(CASE WHEN clicked THEN 1 ELSE 0 END) AS clicks,
        sum(conversions) AS conversions, sum(value) AS value
    FROM outcome
    WHERE position > 0
    GROUP BY request_id
), numbered_slate AS (
    SELECT request_id, kind, name, unit, variant,
        row_number() OVER (PARTITION BY kind, name, unit ORDER BY served_at, request_id) AS nth
    FROM slate
), person AS (
    SELECT s.kind, s.name, s.unit, min(CASE WHEN s.nth = 1 THEN s.variant END) AS variant,
        CASE WHEN min(s.variant) <> max(s.variant) THEN 1 ELSE 0 END AS is_crossing,
        coalesce(sum(d.impressions), 0) AS impressions, coalesce(sum(d.clicks), 0) AS clicks,
        coalesce(sum(d.conversions), 0) AS conversions, coalesce(sum(d.value), 0.0) AS value
    FROM numbered_slate AS s LEFT JOIN done AS d ON s.request_id = d.request_id
    GROUP BY s.kind, s.name, s.unit
)
SELECT kind, name, variant, impressions, clicks, conversions, value, count(*) AS people, sum(is_crossing) AS crossing
FROM person
GROUP BY kind, name, variant, impressions, clicks, conversions, value
"""  # noqa: S608  our own words

# Who logged in on several devices, each of them a person of its own, in different arms.
_LOGGED_IN = f"""
{_SLATES}
SELECT kind, name, count(*) AS users
FROM (
    SELECT kind, name, "user" FROM slate WHERE "user" <> ''
    GROUP BY kind, name, "user"
    HAVING min(variant) <> max(variant) AND min(unit) <> max(unit)
) AS person
GROUP BY kind, name
"""  # noqa: S608  our own words


@dataclass(frozen=True, slots=True)
class GroupResult:
    """What came of one group. `differences` are to the first arm, of the others.

    `crossing` people were seen in several arms, and count in their first. `users` of several devices were in different
    arms with them, and count as different people.
    """

    group: Group
    arms: Mapping[str, ArmResult]
    differences: Mapping[str, Mapping[Metric, Difference]]
    ratio: SampleRatio
    crossing: int
    users: int


def read_results(
    warehouse: Warehouse, groups: Sequence[Group], *, placement: str = "", is_always_valid: bool = False
) -> list[GroupResult]:
    """The results of each group, at one placement only if it is named. Shadows and overrides are in none.

    Raises: Unavailable. Cost: a pass over the slates and events since the first group's start; memory for one number a
    person.
    """
    if not groups:
        return []
    rows: defaultdict[tuple[Kind, str], list[Row]] = defaultdict(list)
    users: dict[tuple[Kind, str], int] = {}
    first_hour = hour_of(min(group.since for group in groups))
    named = {
        "wanted": " UNION ALL ".join("SELECT ? AS kind, ? AS name, ? AS since" for _ in groups),
        "which": "d.placement = ?" if placement else "true",
    }
    cells: list[Cell] = [first_hour, *([placement] if placement else [])]
    for group in reversed(groups):
        cells = [group.kind, group.name, group.since, *cells]
    for row in warehouse.query(_PEOPLE.format(**named), (*cells, first_hour)):
        rows[row["kind"], str(row["name"])].append(row)  # type: ignore[index]
    for row in warehouse.query(_LOGGED_IN.format(**named), cells):
        users[row["kind"], str(row["name"])] = int(row["users"] or 0)  # type: ignore[index]
    return [
        _judged(group, rows[group.kind, group.name], users.get((group.kind, group.name), 0), is_always_valid)
        for group in groups
    ]


def _judged(group: Group, rows: Sequence[Row], users: int, is_always_valid: bool) -> GroupResult:
    by_arm: dict[str, list[Row]] = {arm: [] for arm in group.shares}
    for row in rows:
        by_arm.setdefault(str(row["variant"]), []).append(row)
    arms = {arm: ArmResult.of(_outcomes(found)) for arm, found in by_arm.items()}
    control, *others = arms
    differences = {
        arm: {
            metric: compare(arms[arm].metrics[metric], arms[control].metrics[metric], is_always_valid=is_always_valid)
            for metric in METRICS
        }
        for arm in others
    }
    shares = group.shares if group.is_dealt_alike else {}
    ratio = check_sample_ratio({arm: result.people for arm, result in arms.items()}, shares)
    return GroupResult(group, arms, differences, ratio, sum(int(row["crossing"] or 0) for row in rows), users)


def _outcomes(rows: Sequence[Row]) -> Outcomes:
    people = np.array([row["people"] for row in rows], dtype=np.int64)
    return Outcomes(
        *(
            np.repeat(np.array([row[name] for row in rows], dtype=np.float64), people)
            for name in ("impressions", "clicks", "conversions", "value")
        )
    )
