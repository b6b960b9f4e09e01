"""The aggregates on every warehouse: what counting raw rows one by one gives, made anew for just what came late."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np
import pytest

from batch.aggregates import DAY_S, Aggregates, Written
from batch.context_free import ContextFree
from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.model_store import FileModelStore
from omakase.core.events import Event, Joined
from omakase.core.slates import Slate
from omakase.counts import counts_key, decode_counts
from omakase.ports.warehouse import Row, Warehouse
from omakase.rows import delivery_rows, event_row
from tests.contract.conftest import Storage
from tests.contract.conftest import warehouses as storage
from tests.integration.test_tracking import new_slate

__all__ = ["storage"]

DAY = 1_790_000_000 // DAY_S * DAY_S
START = DAY + 5 * 3600
WINDOW_S = 24 * 3600.0
HALF_LIFE_S = 7200.0
GROUP = ("hour", "placement", "variant", "policy", "item_id", "position")
COUNTS = ("deliveries", "impressions", "examined", "clicks", "conversions", "value")

Report = dict[tuple[Any, ...], tuple[Any, ...]]


@dataclass
class History:
    """What a warehouse was given, row by row."""

    warehouse: Warehouse
    random: Random
    deliveries: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    slates: list[Slate] = field(default_factory=list)

    def bring(self, deliveries: list[Row], events: list[Row]) -> set[Any]:
        """One part of each table. Returns the hours of serving that this touches."""
        name = os.urandom(8).hex()
        self.warehouse.append("deliveries", name, deliveries)
        self.warehouse.append("events", name, events)
        self.deliveries += deliveries
        self.events += events
        of_slates = {row["request_id"]: row["hour"] for row in self.deliveries}
        return {of_slates.get(row["request_id"]) for row in (*deliveries, *(e for e in events if e["position"]))}

    def serve(self, since: float, until: float, n: int) -> list[Row]:
        slates = [self._slate(self.random.uniform(since, until)) for _ in range(n)]
        self.slates += slates
        return [row for slate in slates for row in delivery_rows(slate)]

    def happen(self, since: float, until: float, n: int) -> list[Row]:
        return [event_row(self._event(self.random.uniform(since, until))) for _ in range(n)]

    def again(self) -> tuple[list[Row], list[Row]]:
        """Some of what there is, once more."""
        return tuple(self.random.sample(rows, min(3, len(rows))) for rows in (self.deliveries, self.events))  # type: ignore[return-value]

    def _slate(self, at: float) -> Slate:
        choice = self.random.choice
        slate = new_slate(at, n=2)
        looked_at = [
            replace(delivery, item_id=choice(["a", "b"]), item_factor=np.array(share, dtype=np.float32))
            for delivery, share in zip(slate.deliveries, ([1.0], choice([[0.5], []])), strict=True)
        ]
        kind = choice([{}, {}, {}, {"shadow": True, "model": ""}, {"assigned_by": "override", "model": ""}])
        named = {"placement": choice(["home", "end"]), "variant": choice(["control", "learnt"])}
        return replace(slate, deliveries=tuple(looked_at), **named, **kind)

    def _event(self, at: float) -> Event:
        choice = self.random.choice
        slate = choice([*self.slates, new_slate(at)])
        kind = choice(["impression", "impression", "click", "conversion", "conversion", "return", "like"])
        position = choice([1, 1, 2, 2, 2, 0])
        return Event(
            os.urandom(16),
            slate.request_id,
            position,
            kind,
            at,
            event_id=choice(["e1", "e2"] if kind == "return" else ["", "e1", "e2"]),
            value=choice([None, 2.5, 10.0]) if kind in ("conversion", "return") else None,
            unwanted=choice([""] * 15 + ["bot"]),
            # Of some the record had been dropped when they came.
            delivery=choice([None, Joined.of(slate, position)]) if position else None,
        )

    def report(self) -> Report:
        rows = self.warehouse.query("SELECT * FROM hourly")
        found = {tuple(row[name] for name in GROUP): tuple(row[name] for name in COUNTS) for row in rows}
        assert len(found) == len(rows)
        return found

    def brute_force(self) -> Report:
        """The same, counted one by one from the raw rows."""
        happened: defaultdict[tuple[Any, Any], list[Row]] = defaultdict(list)
        by_receipt = {row["receipt_id"]: row for row in self.events}
        for row in sorted(by_receipt.values(), key=lambda row: (row["received_at"], row["receipt_id"])):
            known = happened[row["request_id"], row["position"]]
            if not any(is_repetition(row, other) for other in known):
                known.append(row)
        unwanted = {(row["request_id"], row["position"]) for row in self.events if row["unwanted"]}
        served = {(row["request_id"], row["position"]): row for row in self.deliveries}
        counted: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(lambda: [0, 0, 0.0, 0, 0, 0.0])
        for delivery, row in served.items():
            if row["shadow"] or row["assigned_by"] == "override":
                continue
            line, events = counted[tuple(row[name] for name in GROUP)], happened[delivery]
            line[0] += 1
            if not events or delivery in unwanted:
                continue
            line[1] += 1
            line[2] += 1.0 if row["examination"] is None else row["examination"]
            line[3] += any(event["type"] == "click" for event in events)
            for event in events:
                kept, is_whole = kept_of(event, events)
                line[4] += event["type"] == "conversion" and (is_whole or kept > 0)
                line[5] += kept
        return {key: tuple(line) for key, line in counted.items()}


def is_repetition(row: Row, known: Row) -> bool:
    """A person sees and clicks a delivery once; anything else repeats itself only by its event_id."""
    if (row["type"], row["event_id"]) != (known["type"], known["event_id"]):
        return False
    return bool(row["event_id"]) or row["type"] in ("impression", "click")


def kept_of(event: Row, events: list[Row]) -> tuple[float, bool]:
    """What an event is worth, its return taken off, and whether there was none."""
    worth = float(event["value"] or 0.0)
    if event["type"] == "return":
        return 0.0, True
    if event["type"] != "conversion" or not event["event_id"]:
        return worth, True
    returns = [e for e in events if e["type"] == "return" and e["event_id"] == event["event_id"]]
    for back in returns:
        return worth - (worth if back["value"] is None else float(back["value"])), False
    return worth, True


@pytest.fixture
def clock(tmp_path):
    return MappedClock.create(tmp_path / "clock", START)


def check(storage: Storage, clock: MappedClock, seed: int, rounds: int) -> None:
    """Rows come in rounds; after each, the aggregates are those of a count, and no hour was made anew in vain."""
    history = History(storage.open(), Random(seed))
    aggregates = Aggregates(storage.open(), clock, WINDOW_S)
    for n in range(rounds):
        now = START + (n + 1) * 3600.0
        clock.move(now)
        # Some slates were late, and events are of slates of any age.
        touched = history.bring(history.serve(now - 3 * 3600, now, 12), history.happen(now - 2 * 3600, now, 80))
        touched |= history.bring(*history.again())
        written = aggregates.run()
        expected = history.brute_force()
        assert history.report() == expected
        assert written.hours == len(touched & {hour for hour, *_ in expected})
    assert aggregates.run() == Written(0, 0)
    assert aggregates.run_day(DAY) == Written(len({hour for hour, *_ in expected}), len(expected))
    assert history.report() == expected


def test_each_run_makes_what_counting_one_by_one_gives_and_writes_just_the_hours_that_were_touched(
    storage, clock, tmp_path
):
    check(storage, clock, seed=1, rounds=2)
    models = FileModelStore(tmp_path / "models")
    assert ContextFree(storage.open(), models, HALF_LIFE_S).run() == 2
    report = History(storage.open(), Random(0)).report()
    for placement in ("home", "end"):
        found = decode_counts(models.latest(counts_key(placement))[0])
        rows = {group: counts for group, counts in report.items() if group[1] == placement}
        expected = faded(rows, found.item_ids)
        assert np.column_stack([found.impressions, found.clicks]) == pytest.approx(np.array(expected), abs=1e-4)


def faded(report: Report, item_ids: Sequence[str]) -> list[list[float]]:
    """Impressions, as far as they were looked at, and clicks of each item."""
    newest = max(hour for hour, *_ in report)
    weighed = [(group[4], 2 ** ((group[0] - newest) / HALF_LIFE_S), counts) for group, counts in report.items()]
    return [
        [sum(weight * counts[column] for item, weight, counts in weighed if item == item_id) for column in (2, 3)]
        for item_id in item_ids
    ]
