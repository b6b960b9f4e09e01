"""One SQL for both warehouses: what the product asks, of DuckDB and of BigQuery, over the same rows."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from batch.aggregates import Aggregates
from batch.context_free import ContextFree
from batch.examination import Examinations
from omakase import accounts, journeys
from omakase.adapters import open_warehouse
from omakase.adapters.gcp.bigquery.dialect import translate
from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.model_store import FileModelStore
from omakase.adapters.local.warehouse import FileWarehouse
from omakase.core.events import Event, Joined
from omakase.core.ids import DeliveryId, Pseudonym, text_of
from omakase.core.learners import LinearLearner
from omakase.core.slates import Slate
from omakase.core.tables import TABLES, hour_of
from omakase.groups import Group
from omakase.ports.model_store import ModelKey
from omakase.ports.warehouse import Cell, Row, Table
from omakase.repairs.extents import extents
from omakase.repairs.history import Choice, History, Refolded
from omakase.results import read_results
from omakase.rows import delivery_rows, event_row
from tests.counterparts import cloud
from tests.integration.test_tracking import new_slate

START = 1_790_000_000 // 3600 * 3600
SLATES = 24
KEY = ModelKey("clicks/abc")
GROUPS = (
    Group("experiment", "new", ["home", "end"], {"control": 500, "learnt": 500}),
    Group("share", "home", ["home"], {"control": 1, "learnt": 1}, since=START + 600.0),
    Group("holdout", "home", ["home"], {"control": 1}),
)
QUESTIONS = (
    "SELECT 7 // 2 AS a, 7 / 2 AS b, 7 % 4 AS c, 2.0 ** 3 AS d, pow(2.0, 0.5) AS e",
    "SELECT position AS p FROM events GROUP BY position ORDER BY p NULLS LAST",
    "SELECT value FROM events ORDER BY value",
    "SELECT count(*) FILTER (WHERE type = 'click') AS n, bool_or(type = 'like') AS liked FROM events",
    "SELECT DISTINCT ON (type) type, receipt_id FROM events ORDER BY type, receipt_id",
    "SELECT request_id, count(*) OVER (PARTITION BY request_id) AS n FROM events QUALIFY n > 1",
    "SELECT strpos(request_id, 'A') AS at, substr(request_id, -3, 2) AS tail, length(type) AS n FROM events",
    "SELECT CAST(round(value * 2.5) AS BIGINT) AS n, value IS DISTINCT FROM 2.5 AS other FROM events",
    "SELECT type || '!' AS t, upper(type) AS u, type LIKE 'c%' AS c, type IN ('like', ?) AS i FROM events",
    'SELECT e.type, d."user" FROM events AS e LEFT JOIN deliveries AS d USING (request_id, position)',
    "SELECT greatest(1.5, value) AS g, coalesce(value, 0.0) AS v FROM events WHERE value IS NOT NULL",
)


@dataclass
class Asked:
    """A warehouse in DuckDB. What is asked of it is noted, and of the `others` too, which must answer the same."""

    local: FileWarehouse
    others: Sequence[Any] = ()
    queries: list[str] = field(default_factory=list)
    answers: int = 0

    def append(self, table: Table, part: str, rows: Sequence[Row]) -> None:
        for warehouse in (self.local, *self.others):
            warehouse.append(table, part, rows)

    def query(self, sql: str, parameters: Sequence[Cell] = ()) -> list[dict[str, Cell]]:
        self.queries.append(sql)
        rows = self.local.query(sql, parameters)
        for warehouse in self.others:
            assert_same(rows, warehouse.query(sql, parameters), sql)
        self.answers += bool(rows)
        return rows

    def compact(self, table: Table) -> int:
        raise NotImplementedError

    def expire(self, table: Table, before_hour: int) -> int:
        raise NotImplementedError

    def forget(self, people: Collection[str]) -> int:
        raise NotImplementedError


def assert_same(rows: Sequence[Row], others: Sequence[Row], sql: str) -> None:
    """The same cells of the same types, in whatever order where none is asked for."""
    is_ordered = "ORDER BY" in sql.rpartition(")")[2]
    assert len(rows) == len(others), sql
    for row, other in zip(*((some if is_ordered else sorted(some, key=spelt)) for some in (rows, others)), strict=True):
        assert row.keys() == other.keys(), sql
        for name, cell in row.items():
            assert type(cell) is type(other[name]), f"{name} of {sql}"
            same = math.isclose(cell, other[name], rel_tol=1e-12) if isinstance(cell, float) else cell == other[name]
            assert same, f"{name}: {cell!r}, {other[name]!r} of {sql}"


def spelt(row: Row) -> str:
    return repr([f"{cell:.9g}" if isinstance(cell, float) else cell for cell in row.values()])


def slates(random: Random) -> list[Slate]:
    made = []
    for n in range(SLATES):
        slate = new_slate(START + random.uniform(0, 3 * 3600), n=3)
        arm = random.choice(["control", "learnt"])
        kind: dict[str, Any] = random.choice(
            [
                {"experiment": "new", "assigned_by": "experiment"},
                {"experiment": "new", "assigned_by": "experiment", "user": random.choice(["u1", "u2"])},
                {"assigned_by": "share"},
                {"assigned_by": "holdout"},
                {"assigned_by": "override", "model": ""},
                {"shadow": True, "model": ""},
            ]
        )
        deliveries = tuple(
            replace(
                delivery,
                item_id=random.choice(["a", "b", "c"]),
                predicted_click=random.choice([None, 0.0, 0.25]),
                item_factor=np.array([random.choice([1.0, 0.5])], dtype=np.float32),
            )
            for delivery in slate.deliveries
        )
        named = {"placement": random.choice(["home", "end"]), "variant": arm, "unit": Pseudonym(f"p{n % 11}")}
        made.append(replace(slate, deliveries=deliveries, **(named | kind)))
    return made


def events(random: Random, served: Sequence[Slate]) -> list[Event]:
    made = []
    for _ in range(4 * SLATES):
        slate, position = random.choice(served), random.choice([0, 1, 1, 2, 3])
        kind = random.choice(["impression", "impression", "click", "conversion", "conversion", "return", "like"])
        made.append(
            Event(
                os.urandom(16),
                slate.request_id,
                position,
                kind,
                slate.served_at + random.choice([5.0, 5.0, 7000.0]),
                event_id=random.choice(["e1", "e2"] if kind == "return" else ["", "e1", "e2"]),
                value=random.choice([None, 2.5, 10.0]) if kind in ("conversion", "return") else None,
                unwanted=random.choice([""] * 15 + ["bot"]),
                delivery=random.choice([None, Joined.of(slate, position)]) if position else None,
            )
        )
    return made


def example_rows(random: Random, served: Sequence[Slate]) -> list[Row]:
    """Examples, corrections and retractions, in batches of two shards."""
    rows: list[Row] = []
    for slate in served:
        for position in (1, 2):
            click, sequence = float(random.random() < 0.3), random.randrange(1, 9)
            row: dict[str, Cell] = {
                "hour": hour_of(slate.served_at),
                "shard": random.choice(["one", "two"]),
                "sequence": sequence,
                "request_id": text_of(slate.request_id),
                "position": position,
                "model": KEY,
                "context_factor": np.array([1.0], dtype="<f4").tobytes(),
                "item_factor": np.array([1.0, random.random()], dtype="<f4").tobytes(),
                "item_id": slate.deliveries[position - 1].item_id,
                "served_at": slate.served_at,
                "weight": 1.0,
                "click": click,
                "reward": click,
            }
            rows.append(row)
            if random.random() < 0.3:
                after = random.choice([None, 1.0])
                rows.append(row | {"sequence": sequence + 1, "click": after, "reward": after, "click_before": click})
    return rows


def fill(warehouse: Asked, random: Random) -> list[Slate]:
    served = slates(random)
    delivered = [row for slate in served for row in delivery_rows(slate)]
    happened = [event_row(event) for event in events(random, served)]
    # What tracking took twice is there twice.
    warehouse.append("deliveries", "log-1", delivered + random.sample(delivered, 9))
    warehouse.append("events", "log-1", happened + random.sample(happened, 9))
    warehouse.append("examples", "one-1", example_rows(random, served))
    counted: list[Row] = [
        {"hour": row["hour"], "request_id": row["request_id"], "position": row["position"], "propensity": 0.5}
        for row in delivered
    ]
    warehouse.append("propensities", "log-1", counted)
    return served


def ask_everything(warehouse: Any, directory: Path, served: Sequence[Slate]) -> None:
    """What reports, counts, repairs and journeys ask."""
    MappedClock.create(directory / "clock", START + 4 * 3600.0)
    clock, store = MappedClock(directory / "clock"), FileModelStore(directory / "models")
    read_results(warehouse, GROUPS)
    read_results(warehouse, GROUPS[1:], placement="home")
    Aggregates(warehouse, clock, 86_400.0).run()
    ContextFree(warehouse, store, 7200.0).run()
    Examinations(warehouse, store, clock, ["home", "end"]).run()
    for choice in (Choice(), Choice(START + 60.0, START + 9000.0, "item_id = 'a' OR unit IS NULL -- or so")):
        history = History(warehouse, KEY, choice, chunk=50)
        extents(warehouse, KEY)
        history.refold(Refolded(), {"one": 1}, {"one": 7, "two": 5}, LinearLearner(1, 2))
    warehouse.query(accounts._LOADED)
    for slate in served[:3]:
        named = DeliveryId(slate.request_id, 1)
        journeys._events(warehouse, named, [])
        about = journeys._of(named)
        for columns, table in ((journeys._SERVED, "deliveries"), ("propensity", "propensities")):
            warehouse.query(f"SELECT {columns} FROM {table} WHERE {journeys._ABOUT}", about)


def test_every_query_of_the_product_says_the_same_in_bigquery(tmp_path):
    warehouse = Asked(FileWarehouse(tmp_path / "warehouse"))
    ask_everything(warehouse, tmp_path, fill(warehouse, Random(0)))
    assert len(set(warehouse.queries)) > 20
    for sql in warehouse.queries:
        assert translate(sql, "project.dataset", tuple(TABLES)).parameters == sql.count("?")


def test_both_engines_answer_every_query_of_the_product_alike(tmp_path):
    far = open_warehouse(cloud.warehouse(tmp_path))
    warehouse = Asked(FileWarehouse(tmp_path / "warehouse"), [far])
    ask_everything(warehouse, tmp_path, fill(warehouse, Random(1)))
    assert warehouse.answers > 0.8 * len(warehouse.queries), "most questions must be about rows that there are"


def test_both_engines_know_what_people_ask(tmp_path):
    far = open_warehouse(cloud.warehouse(tmp_path))
    warehouse = Asked(FileWarehouse(tmp_path / "warehouse"), [far])
    fill(warehouse, Random(2))
    for sql in QUESTIONS:
        warehouse.query(sql, ["click"] if "?" in sql else [])
