"""Contract of what keeps a warehouse small and forgetful: compact, expire, forget."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from omakase.core.errors import InvalidInput
from omakase.core.tables import IDENTITIES, TABLES
from omakase.ports.warehouse import Table

HOUR = 1_700_000_000 // 3600 * 3600

APPEND_AND_COMPACT = """
import sys, threading, time
from omakase.adapters import open_warehouse
warehouse, hour, first = open_warehouse(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
def compact():
    while True:
        if not warehouse.compact("events"):
            time.sleep(0.005)
threading.Thread(target=compact, daemon=True).start()
for number in range(first, first + 10**6):
    rows = [{"hour": hour + k % 2 * 3600, "position": number, "type": str(k)} for k in range(4)]
    warehouse.append("events", f"log-{number}", rows)
    print(number, flush=True)
"""


def event(n: int, hour: int = HOUR) -> dict[str, Any]:
    return {"hour": hour, "position": n, "type": "click"}


def append(warehouse: Any, numbers: range, series: str = "log") -> None:
    for n in numbers:
        warehouse.append("events", f"{series}-{n}", [event(n)])


def positions(warehouse: Any) -> list[int]:
    return [row["position"] for row in warehouse.query("SELECT position FROM events ORDER BY position")]


def fewer_if_far(warehouses: Any, rounds: int) -> int:
    """How often to try what takes several requests each time where the warehouse is a server."""
    return rounds if warehouses.uri.startswith("duckdb:") else rounds // 4


@pytest.fixture
def warehouse(warehouses):
    return warehouses.open()


def test_the_port_names_the_tables_that_are_declared():
    assert get_args(Table) == tuple(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_compaction_changes_no_row_of_any_table(warehouse, table):
    cells = {"text": "l'été\n", "float": 0.1 + 0.2, "integer": 2**62, "boolean": True, "bytes": bytes(range(256))}
    full = {name: cells[kind] for name, kind in TABLES[table].items()}
    for n in range(6):
        hours = (HOUR, HOUR + 3600)[: 1 + n % 2]
        warehouse.append(table, f"log-{n}", [full | {"hour": hour} for hour in hours] + [{"hour": HOUR}] * n)
    before = Counter(map(repr, warehouse.query(f"SELECT * FROM {table}")))
    assert warehouse.compact(table) >= 0
    assert Counter(map(repr, warehouse.query(f"SELECT * FROM {table}"))) == before
    assert warehouse.compact(table) == 0


def test_the_newest_part_of_each_series_can_be_written_again_after_compaction(warehouse):
    append(warehouse, range(9, 12))
    append(warehouse, range(20, 23), series="other-log")
    warehouse.append("events", "alone", [event(1)])
    warehouse.compact("events")
    warehouse.append("events", "log-11", [event(110), event(111, HOUR + 3600)])
    warehouse.append("events", "other-log-22", [])
    warehouse.append("events", "alone", [event(2)])
    assert positions(warehouse) == [2, 9, 10, 20, 21, 110, 111]


@pytest.mark.parametrize("is_compacted", [False, True])
def test_an_older_part_of_a_series_is_refused_and_changes_nothing(warehouses, is_compacted):
    append(warehouses.open(), range(8, 12))
    if is_compacted:
        warehouses.open().compact("events")
    with pytest.raises(InvalidInput, match=r"'log-9' is older than 'log-11'"):
        warehouses.open().append("events", "log-9", [event(1000)])
    assert positions(warehouses.open()) == [8, 9, 10, 11]


def test_a_reader_sees_every_row_once_while_others_append_and_compact(warehouses):
    reader, writer, keeper = (warehouses.open() for _ in range(3))
    appended, rounds = 0, fewer_if_far(warehouses, 60)

    def write() -> None:
        nonlocal appended
        for n in range(rounds):
            writer.append("events", f"log-{n}", [event(n, HOUR + k * 3600) for k in range(2)])
            appended = n + 1

    with ThreadPoolExecutor(2) as pool:
        writing, seen = pool.submit(write), set()
        compacting = pool.submit(keeper.compact, "events")
        while not writing.done():
            if compacting.done():
                compacting.result()
                compacting = pool.submit(keeper.compact, "events")
            least = appended
            asked = "SELECT count(*) AS n, count(DISTINCT position) AS different, max(position) AS top FROM events"
            (row,) = reader.query(asked)
            assert row["n"] == 2 * row["different"]
            assert row["n"] >= 2 * least
            assert row["n"] == 0 or row["top"] == row["different"] - 1
            seen.add(row["n"])
        writing.result()
    assert len(seen) > 2, "the reader never ran between two writes"
    assert compacting.result() >= 0
    assert positions(reader) == sorted(2 * list(range(rounds)))


def test_nothing_is_lost_or_doubled_when_a_compactor_is_killed(warehouses, spawn):
    reader, first = warehouses.open(), 0
    for _ in range(fewer_if_far(warehouses, 4)):
        child = spawn(APPEND_AND_COMPACT, warehouses.uri, str(HOUR), str(first))
        acknowledged = first
        while acknowledged < first + fewer_if_far(warehouses, 12):
            acknowledged = int(child.stdout.readline())
        child.kill()
        child.wait()
        acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
        found = Counter(positions(reader))
        assert set(found.values()) == {4}
        # The one it was at may be there: the next writer repeats it.
        assert max(found) in (acknowledged, acknowledged + 1)
        assert len(found) == max(found) + 1
        first = acknowledged + 1


def test_hours_that_expire_go_as_a_whole_merged_or_not(warehouse):
    for n in range(4):
        warehouse.append("events", f"log-{n}", [event(n, HOUR + k * 3600) for k in range(4)])
        if n == 2:
            warehouse.compact("events")
    assert warehouse.expire("events", HOUR + 7200) == 2
    assert warehouse.expire("events", HOUR + 7200) == 0
    found = warehouse.query("SELECT hour, count(*) AS n FROM events GROUP BY hour ORDER BY hour")
    assert found == [{"hour": HOUR + 7200, "n": 4}, {"hour": HOUR + 3 * 3600, "n": 4}]
    append(warehouse, range(4, 5))
    assert warehouse.query(f"SELECT count(*) AS n FROM events WHERE hour = {HOUR}") == [{"n": 1}]


def test_an_empty_table_has_nothing_to_compact_or_expire(warehouse):
    assert warehouse.compact("events") == 0
    assert warehouse.expire("events", HOUR) == 0
    assert warehouse.forget(["anna"]) == 0


@pytest.mark.parametrize("call", ["compact", "expire"])
def test_upkeep_refuses_an_unknown_table(warehouse, call):
    with pytest.raises(InvalidInput, match="known: deliveries"):
        getattr(warehouse, call)("clicks", *([HOUR] if call == "expire" else []))


def person(name: str | None, n: int, **more: Any) -> dict[str, Any]:
    return {"hour": HOUR, "position": n, "unit": name, "user": None, "context": '{"age":7}', "score": 0.5} | more


@pytest.mark.parametrize("is_compacted", [False, True])
def test_forgetting_blanks_what_is_personal_and_nothing_else(warehouse, is_compacted):
    rows = [person("anna", 1), person("bert", 2), person("x", 3, user="anna"), person(None, 4, hour=HOUR + 3600)]
    for n, row in enumerate(rows):
        warehouse.append("deliveries", f"log-{n}", [row])
    warehouse.append("deliveries", "log-4", [person("anna", 5), person("carl", 6)])
    warehouse.append("events", "log-0", [event(1) | {"unit": "anna"}, event(2) | {"unit": "bert"}])
    if is_compacted:
        warehouse.compact("deliveries")
    before = warehouse.query("SELECT * FROM deliveries ORDER BY position")
    assert warehouse.forget(["anna", "carl", "nobody"]) == 5
    assert warehouse.forget(["anna", "carl", "nobody"]) == 0
    blank = dict.fromkeys(("unit", "user", "context"))
    expected = [row | (blank if row["position"] in (1, 3, 5, 6) else {}) for row in before]
    assert warehouse.query("SELECT * FROM deliveries ORDER BY position") == expected
    assert warehouse.query("SELECT unit FROM events ORDER BY position") == [{"unit": None}, {"unit": "bert"}]


@pytest.mark.parametrize("table", [name for name in TABLES if set(IDENTITIES) & set(TABLES[name])])
@pytest.mark.parametrize("column", IDENTITIES)
def test_forgetting_reaches_every_table_that_names_people(warehouse, table, column):
    if column not in TABLES[table]:
        return
    warehouse.append(table, "log-1", [{"hour": HOUR, column: "anna"}, {"hour": HOUR, column: "bert"}])
    assert warehouse.forget(["anna"]) == 1
    assert warehouse.query(f'SELECT "{column}" AS who FROM {table} WHERE "{column}" IS NOT NULL') == [{"who": "bert"}]


def test_nobody_is_forgotten_by_an_empty_name(warehouse):
    warehouse.append("deliveries", "log-1", [person("", 1), person(None, 2)])
    assert warehouse.forget([]) == 0
    with pytest.raises(InvalidInput, match="empty"):
        warehouse.forget(["anna", ""])
    assert warehouse.query("SELECT DISTINCT context FROM deliveries") == [{"context": '{"age":7}'}]


def test_a_part_that_was_made_to_forget_is_still_replaced_when_it_is_written_again(warehouse):
    warehouse.append("deliveries", "log-1", [person("anna", 1), person("bert", 2)])
    warehouse.forget(["anna"])
    warehouse.append("deliveries", "log-1", [person("bert", 2), person("carl", 3)])
    assert warehouse.query("SELECT unit FROM deliveries ORDER BY unit") == [{"unit": "bert"}, {"unit": "carl"}]


def test_forgetting_loses_nothing_while_others_append_rewrite_and_compact(warehouses):
    writer, keeper, forgetter = (warehouses.open() for _ in range(3))
    rounds = fewer_if_far(warehouses, 24)
    writer.append("deliveries", "log-0", [person("anna", 0), person("bert", 0)])

    def write() -> None:
        for n in range(1, rounds + 1):
            for _ in range(2):
                writer.append("deliveries", f"log-{n}", [person("anna", n), person("bert", n)])

    with ThreadPoolExecutor(2) as pool:
        writing, compacting = pool.submit(write), pool.submit(keeper.compact, "deliveries")
        while not writing.done():
            forgetter.forget(["anna"])
            if compacting.done():
                compacting.result()
                compacting = pool.submit(keeper.compact, "deliveries")
        writing.result()
        compacting.result()
    forgetter.forget(["anna"])
    found = forgetter.query("SELECT position, unit FROM deliveries")
    assert Counter((row["position"], row["unit"]) for row in found) == Counter(
        (n, unit) for n in range(rounds + 1) for unit in (None, "bert")
    )


class Interleaved(RuleBasedStateMachine):
    """A warehouse against a dict of parts, whatever comes after what."""

    opened: Any  # set by the test

    def __init__(self) -> None:
        super().__init__()
        self.stores = [self.opened() for _ in range(2)]
        self.stores[0].expire("deliveries", 10**12)
        self.parts: dict[str, list[tuple[int, int, str | None]]] = {}
        self.newest: dict[str, int] = {}
        self.number = 0

    rows = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["anna", "bert", "carl"])), max_size=4)

    def write(self, part: str, rows: list[tuple[int, str]]) -> None:
        self.number += 1
        self.parts[part] = [(hour * 3600, self.number, unit) for hour, unit in rows]
        self.stores[self.number % 2].append(
            "deliveries", part, [{"hour": h, "position": n, "unit": unit} for h, n, unit in self.parts[part]]
        )

    @rule(series=st.sampled_from("ab"), rows=rows)
    def append_the_next(self, series, rows):
        self.newest[series] = self.newest.get(series, Interleaved.start) + 1
        self.write(f"{series}-{self.newest[series]}", rows)

    @rule(series=st.sampled_from("ab"), rows=rows)
    def append_the_newest_again(self, series, rows):
        if series in self.newest:
            self.write(f"{series}-{self.newest[series]}", rows)

    @rule(rows=rows)
    def append_one_without_a_number(self, rows):
        self.write("alone", rows)

    @precondition(lambda self: self.parts)
    @rule(store=st.integers(0, 1))
    def compact(self, store):
        self.stores[store].compact("deliveries")

    @rule(hours=st.integers(0, 2))
    def expire(self, hours):
        self.stores[0].expire("deliveries", hours * 3600)
        self.parts = {part: [row for row in rows if row[0] >= hours * 3600] for part, rows in self.parts.items()}

    @rule(unit=st.sampled_from(["anna", "bert"]))
    def forget(self, unit):
        named = sum(row[2] == unit for rows in self.parts.values() for row in rows)
        assert self.stores[1].forget([unit]) == named
        self.parts = {
            part: [(hour, n, None if who == unit else who) for hour, n, who in rows]
            for part, rows in self.parts.items()
        }

    @invariant()
    def holds_what_the_dict_holds(self):
        found = self.stores[self.number % 2].query("SELECT hour, position, unit FROM deliveries")
        expected = [row for rows in self.parts.values() for row in rows]
        assert Counter((row["hour"], row["position"], row["unit"]) for row in found) == Counter(expected)

    def teardown(self) -> None:
        # The next run has the same storage, and series go on.
        Interleaved.start = max(self.newest.values(), default=Interleaved.start)

    start = 0


def test_whatever_the_order_a_warehouse_holds_what_a_dict_would(warehouses):
    Interleaved.opened = staticmethod(warehouses.open)
    run_state_machine_as_test(
        Interleaved,
        settings=settings(
            max_examples=max(2, fewer_if_far(warehouses, 5)),
            stateful_step_count=16,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
