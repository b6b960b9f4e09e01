"""Results of experiments over a real warehouse, held against counting one by one."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import duckdb
import numpy as np
import pytest

from omakase.adapters.local.warehouse import FileWarehouse
from omakase.core.events import Event
from omakase.core.ids import Pseudonym, RequestId
from omakase.core.slates import Delivery, Slate
from omakase.core.tables import TABLES
from omakase.groups import Group
from omakase.results import read_results
from omakase.rows import delivery_rows, event_row

HOUR = 1_760_000_000 // 3600 * 3600
EXPERIMENT = Group("experiment", "new", ["home", "end"], {"control": 500, "treatment": 500})
BASE = Group("share", "home", ["home"], {"a": 5000, "b": 5000})
HELD = Group("holdout", "home", ["home"], {"a": 1})
FACTOR = np.ones(1, dtype=np.float32)


@dataclass
class History:
    """What was served and what happened, in a warehouse and beside it."""

    warehouse: FileWarehouse
    slates: list[Slate] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    numbers: Any = field(default_factory=itertools.count)

    def serve(self, unit: str, variant: str, at: float = HOUR + 1.0, **fields: Any) -> Slate:
        """One slate, of the experiment unless the fields say otherwise."""
        given = {"placement": "home", "experiment": "new", "assigned_by": "experiment", "user": "", **fields}
        request_id = RequestId(int(at * 1000).to_bytes(6, "big") + next(self.numbers).to_bytes(10, "big"))
        deliveries = tuple(Delivery(n, f"i{n}", "", 0.5, None, None, None, FACTOR, {}) for n in (1, 2, 3))
        slate = Slate(
            request_id=request_id,
            served_at=at,
            variant=variant,
            policy="thompson",
            model="clicks/abc",
            model_version="clicks/abc@1",
            catalogue_generation=1,
            unit=Pseudonym(unit),
            context={},
            context_factor=FACTOR,
            deliveries=deliveries,
            **given,
        )
        self.slates.append(slate)
        return slate

    def happen(self, slate: Slate, kind: str, position: int = 1, later: float = 5.0, **fields: Any) -> None:
        receipt = next(self.numbers).to_bytes(16, "big")
        self.events.append(Event(receipt, slate.request_id, position, kind, slate.served_at + later, **fields))

    def load(self) -> None:
        self.warehouse.append("deliveries", "log-1", [row for slate in self.slates for row in delivery_rows(slate)])
        self.warehouse.append("events", "log-1", [event_row(event) for event in self.events])

    def read(self, *groups: Group, **asked: Any) -> list[Any]:
        return read_results(self.warehouse, groups or [EXPERIMENT], **asked)


@pytest.fixture
def history(tmp_path) -> History:
    return History(FileWarehouse(tmp_path / "warehouse"))


def belongs(slate: Slate, group: Group) -> bool:
    if slate.shadow or slate.assigned_by == "override" or not slate.unit or slate.served_at < group.since:
        return False
    if slate.assigned_by == "holdout":
        return (group.kind, group.name) == ("holdout", slate.placement)
    return (group.kind, group.name) == (
        ("experiment", slate.experiment) if slate.experiment else ("share", slate.placement)
    )


def brute_force(slates: Sequence[Slate], events: Sequence[Event], group: Group) -> dict[str, tuple[Any, ...]]:
    """People, impressions, clicks, who converted, and value of each arm, counted one by one."""
    happened: defaultdict[tuple[bytes, int], list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda event: (event.received_at, event.receipt_id)):
        known = happened[event.request_id, event.position]
        # The trainer's rule: what has an id repeats by it, without one only impressions and clicks do.
        once = event.event_id or event.type in ("impression", "click")
        alike = [e for e in known if once and (e.type, e.event_id) == (event.type, event.event_id)]
        if not alike or event.unwanted:
            known.append(event)
    first: dict[str, tuple[float, str]] = {}
    totals: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0, 0, 0.0])
    for slate in {slate.request_id: slate for slate in slates if belongs(slate, group)}.values():
        first[slate.unit] = min(
            first.get(slate.unit, (slate.served_at, slate.variant)), (slate.served_at, slate.variant)
        )
        mine = totals[slate.unit]
        for position in (1, 2, 3):
            found = happened[slate.request_id, position]
            if not found or any(event.unwanted for event in found):
                continue
            mine[0] += 1
            mine[1] += any(event.type == "click" for event in found)
            for event in found:
                if event.type == "conversion":
                    back = [e.value for e in found if (e.type, e.event_id) == ("return", event.event_id)][:1]
                    left = event.value - (event.value if back == [None] else sum(back))
                    mine[2] += left > 0
                    mine[3] += left
    arms: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0, 0, 0, 0.0])
    for unit, (impressions, clicks, conversions, value) in totals.items():
        for i, number in enumerate((1, impressions, clicks, conversions > 0, value)):
            arms[first[unit][1]][i] += number
    return {arm: tuple(numbers) for arm, numbers in arms.items()}


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_results_are_what_counting_one_by_one_gives(history, seed):
    random = Random(seed)
    kinds = [
        ({"experiment": "new", "assigned_by": "experiment"}, ["control", "treatment"]),
        ({"experiment": "other", "assigned_by": "experiment"}, ["x", "y"]),
        ({"experiment": "", "assigned_by": random.choice(["share", ""])}, ["a", "b"]),
        ({"experiment": "", "assigned_by": "holdout"}, ["a"]),
        ({"experiment": "new", "assigned_by": "override"}, ["control", "treatment"]),
        ({"experiment": "", "assigned_by": "share", "shadow": True}, ["ghost"]),
    ]
    for _ in range(400):
        fields, variants = random.choice(kinds)
        unit = f"u{random.randrange(60)}" if random.random() < 0.95 else ""
        place = random.choice(["home", "end"])
        at = HOUR + random.uniform(0, 3 * 3600)
        slate = history.serve(unit, random.choice(variants), at, placement=place, **fields)
        for number in range(random.randrange(5)):
            kind, position = random.choice(["impression", "click", "conversion", "return"]), random.randint(0, 3)
            ids = ["e1", f"e{number}"] if kind == "return" else ["e1", f"e{number}", ""]
            fields = {"event_id": random.choice(ids), "unwanted": random.choice([""] * 15 + ["bot"])}
            if kind in ("conversion", "return"):
                fields["value"] = random.choice([2.5, 10.0, *([None] if kind == "return" else [])])
            history.happen(slate, kind, position, random.choice([1.0, 5000.0]), **fields)
    history.load()
    history.warehouse.append("deliveries", "again", delivery_rows(history.slates[0]))
    for since in (0.0, HOUR + 4000.0):
        groups = [replace(group, since=since) for group in (EXPERIMENT, BASE, HELD)]
        for group, found in zip(groups, history.read(*groups), strict=True):
            counted = {
                arm: (one.people, one.impressions, one.clicks, one.converted, pytest.approx(one.value))
                for arm, one in found.arms.items()
                if one.people
            }
            assert counted == brute_force(history.slates, history.events, group)
    (found,) = history.read(EXPERIMENT, placement="end")
    assert sum(one.people for one in found.arms.values()) == len(
        {slate.unit for slate in history.slates if slate.placement == "end" and belongs(slate, EXPERIMENT)}
    )


def test_a_person_of_two_arms_counts_in_the_first_with_all_they_did_and_is_reported(history):
    history.happen(history.serve("anna", "treatment", HOUR + 100.0, user="a"), "click")
    history.happen(history.serve("anna", "control", HOUR + 10.0, user="a"), "impression")
    history.serve("ben", "treatment")
    history.load()
    (found,) = history.read()
    assert (found.crossing, found.users) == (1, 0)
    assert [(arm.people, arm.impressions, arm.clicks) for arm in found.arms.values()] == [(1, 2, 1), (1, 0, 0)]
    assert found.ratio.people == {"control": 1, "treatment": 1}


def test_a_user_whose_devices_are_in_different_arms_is_reported_and_counts_as_two_people(history):
    history.serve("phone", "control", user="anna")
    history.serve("laptop", "treatment", user="anna")
    history.serve("tablet", "treatment", user="ben")
    history.serve("tv", "treatment", user="ben")
    history.load()
    (found,) = history.read()
    assert (found.users, found.crossing, [arm.people for arm in found.arms.values()]) == (1, 0, [1, 3])


def test_people_who_are_not_where_they_were_dealt_to_are_off_and_a_ratio_that_changed_is_not_checked(history):
    for n in range(200):
        history.serve(f"u{n}", "control" if n % 4 else "treatment")
    history.load()
    (found,) = history.read()
    assert (found.ratio.is_off, found.ratio.worst in EXPERIMENT.shares) == (True, True)
    (found,) = history.read(replace(EXPERIMENT, shares={"control": 300, "treatment": 100}))
    assert not found.ratio.is_off
    (found,) = history.read(replace(EXPERIMENT, dealt_since=HOUR + 60.0))
    assert (found.ratio.p_value, found.arms["control"].people) == (None, 150)


def test_nobody_makes_empty_arms(history):
    (found,) = history.read()
    assert [arm.people for arm in found.arms.values()] == [0, 0]
    assert read_results(history.warehouse, []) == []


def test_rows_from_before_the_columns_were_there_are_a_placement_s_own(history, tmp_path):
    for n in range(4):
        history.happen(history.serve(f"u{n}", "ab"[n % 2], experiment="", assigned_by="share"), "click")
    history.load()
    (path,) = (tmp_path / "warehouse" / "deliveries").rglob("*.parquet")
    full = path.rename(path.with_suffix(".full"))
    kept = f"SELECT * EXCLUDE (experiment, assigned_by, shadow) FROM read_parquet('{full}')"
    duckdb.execute(f"COPY ({kept}) TO '{path}' (FORMAT parquet)")
    assert history.read(BASE)[0].arms["a"].clicks == 2
    new = history.serve("u9", "b", experiment="", assigned_by="share", at=HOUR + 3700.0)
    history.warehouse.append("deliveries", "log-2", delivery_rows(new))
    assert [arm.people for arm in history.read(BASE)[0].arms.values()] == [2, 3]
    for _ in range(2):
        found = history.warehouse.query("SELECT DISTINCT assigned_by, experiment, shadow FROM deliveries ORDER BY 1")
        assert found == [
            {"assigned_by": "share", "experiment": "", "shadow": False},
            {"assigned_by": None, "experiment": None, "shadow": None},
        ]
        history.warehouse.compact("deliveries")


def test_every_delivery_s_assignment_is_in_its_row(history):
    slate = history.serve("u", "control", assigned_by="override", shadow=True)
    rows = delivery_rows(slate)
    assert all((row["experiment"], row["assigned_by"], row["shadow"]) == ("new", "override", True) for row in rows)
    assert rows[0].keys() == TABLES["deliveries"].keys()
