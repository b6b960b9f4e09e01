"""Rows that were on their way into the warehouse when their person was forgotten: the job `forget`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batch.forgetting import ON_THE_WAY_S, Forget
from omakase.adapters import open_warehouse
from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.forgotten import SqliteForgotten
from omakase.ports.warehouse import Row
from tests.counterparts import cloud

HOUR = 1_790_000_000 // 3600 * 3600
FORGOTTEN_AT = HOUR + 1800.0


def delivery(unit: str | None, user: str | None, hour: int = HOUR) -> Row:
    return {"hour": hour, "position": 1, "unit": unit, "user": user, "context": "{}"}


class House:
    def __init__(self, directory: Path, uri: str) -> None:
        self.clock = MappedClock.create(directory / "clock", FORGOTTEN_AT + 3600.0)
        self.forgotten = SqliteForgotten(directory / "deliveries.db")
        self.warehouse = open_warehouse(uri)

    def come(self, part: str, *deliveries: Row, events: tuple[Row, ...] = ()) -> None:
        self.warehouse.append("deliveries", part, deliveries)
        self.warehouse.append("events", part, events)

    def forget(self) -> int:
        return Forget(self.warehouse, self.forgotten, self.clock).run()

    def named(self) -> list[tuple[Any, ...]]:
        rows = self.warehouse.query(
            'SELECT unit, "user", context FROM deliveries ORDER BY unit NULLS LAST, "user" NULLS LAST'
        )
        return [tuple(row.values()) for row in rows]


@pytest.fixture(params=["duckdb", "bigquery"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    uri = f"duckdb:{tmp_path}/warehouse" if request.param == "duckdb" else cloud.warehouse(tmp_path)
    return House(tmp_path, uri)


def test_rows_that_come_after_their_person_was_forgotten_become_nobody_s_and_others_stay(house: House) -> None:
    assert house.forget() == 0  # nobody ever was
    house.forgotten.forget(["ada", "tablet"], FORGOTTEN_AT)  # type: ignore[list-item]
    house.forgotten.forget(["carl"], FORGOTTEN_AT)  # type: ignore[list-item]
    event = {"hour": HOUR - 7200, "type": "click", "unit": "tablet"}
    house.come(
        "late",
        delivery("bob", "bob"),
        delivery("bob", "ada"),  # at somebody else's device
        delivery("carl", None, HOUR + 3600),  # came back since
        delivery("", ""),
        events=(event, {**event, "unit": "bob"}),
    )
    assert house.forget() == 2
    blank = (None, None, None)
    assert house.named() == [("", "", "{}"), ("bob", "bob", "{}"), ("carl", None, "{}"), blank]
    units = house.warehouse.query("SELECT unit FROM events ORDER BY unit NULLS LAST")
    assert [row["unit"] for row in units] == ["bob", None]
    assert house.forget() == 0


@pytest.mark.parametrize(("later_s", "changed"), [(ON_THE_WAY_S - 1, 1), (ON_THE_WAY_S + 1, 0)])
def test_who_was_forgotten_long_ago_is_not_looked_for_any_more(tmp_path: Path, later_s: float, changed: int) -> None:
    house = House(tmp_path, f"duckdb:{tmp_path}/warehouse")
    house.forgotten.forget(["ada"], FORGOTTEN_AT)  # type: ignore[list-item]
    house.come("late", delivery("ada", None))
    house.clock.move(FORGOTTEN_AT + later_s)
    assert house.forget() == changed


def test_many_are_looked_for_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch.forgetting._MANY", 3)
    house = House(tmp_path, f"duckdb:{tmp_path}/warehouse")
    people = [f"person-{n}" for n in range(8)]
    house.forgotten.forget(people, FORGOTTEN_AT)  # type: ignore[arg-type]
    house.come("late", *(delivery(person, None) for person in people))
    assert house.forget() == 8
