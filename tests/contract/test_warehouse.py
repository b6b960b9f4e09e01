"""Contract of the warehouse."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omakase.core.errors import InvalidInput
from omakase.core.tables import TABLES

HOUR = 1_700_000_000 // 3600 * 3600

APPEND_SLOWLY = """
import sys
from omakase.adapters import open_warehouse
warehouse, hour, version = open_warehouse(sys.argv[1]), int(sys.argv[2]), 0
while True:
    version += 1
    first = hour + version % 3 * 3600
    warehouse.append("hourly", "part", [{"hour": first + k % 4 * 3600, "clicks": version} for k in range(8)])
    print(version, flush=True)
"""

CELLS = {
    "text": st.text(),
    "float": st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0),  # no zero has a sign
    "integer": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "bytes": st.binary(),
}
deliveries = st.fixed_dictionaries(
    {
        name: st.none() | CELLS[kind] if name != "hour" else st.integers(0, 10**6).map(lambda n: n * 3600)
        for name, kind in TABLES["deliveries"].items()
    }
)


def clicks(hour: int, n: int) -> dict[str, object]:
    return {"hour": hour, "placement": "home-top", "variant": "a", "policy": "p", "item_id": "i", "clicks": n}


@pytest.fixture
def warehouse(warehouses):
    return warehouses.open()


@pytest.mark.parametrize("table", TABLES)
def test_a_table_without_rows_is_empty_with_all_its_columns(warehouse, table):
    columns = ", ".join(f'"{name}"' for name in TABLES[table])
    assert warehouse.query(f"SELECT {columns} FROM {table}") == []
    assert warehouse.query(f"SELECT count(*) AS n, sum(hour) AS s FROM {table}") == [{"n": 0, "s": None}]


def test_rows_come_back_as_they_were_appended(warehouse):
    row = {
        "hour": HOUR,
        "request_id": "r'é\n\"😀",
        "position": 3,
        "served_at": 1_700_000_000.123456,
        "score": 0.1 + 0.2,
        "fallback": True,
        "expected_value": None,
        "item_factor": bytes(range(256)),
        "context_factor": b"",
    }
    warehouse.append("deliveries", "one", [row])
    expected = dict.fromkeys(TABLES["deliveries"]) | row
    assert warehouse.query("SELECT * FROM deliveries") == [expected]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(deliveries, min_size=1, max_size=4))
def test_any_cell_of_a_column_s_type_survives(warehouse, rows):
    warehouse.append("deliveries", "property", rows)
    found = warehouse.query("SELECT * FROM deliveries")
    assert sorted(map(repr, found)) == sorted(repr({name: row[name] for name in TABLES["deliveries"]}) for row in rows)


def test_parts_add_up_across_tables_hours_and_openings(warehouses):
    warehouses.open().append("hourly", "a", [clicks(HOUR, 1), clicks(HOUR + 3600, 2)])
    warehouses.open().append("hourly", "b", [clicks(HOUR, 4)])
    warehouses.open().append("events", "a", [{"hour": HOUR, "type": "click"}])
    by_hour = "SELECT hour, sum(clicks) AS clicks FROM hourly GROUP BY hour ORDER BY hour"
    assert warehouses.open().query(by_hour) == [{"hour": HOUR, "clicks": 5}, {"hour": HOUR + 3600, "clicks": 2}]
    assert warehouses.open().query("SELECT count(*) AS n FROM events") == [{"n": 1}]


def test_a_part_written_again_replaces_itself_in_every_hour(warehouse):
    warehouse.append("hourly", "a", [clicks(HOUR, 1), clicks(HOUR + 3600, 2)])
    warehouse.append("hourly", "b", [clicks(HOUR, 100)])
    warehouse.append("hourly", "a", [clicks(HOUR + 3600, 3), clicks(HOUR + 7200, 4)])
    found = warehouse.query("SELECT hour, clicks FROM hourly ORDER BY hour, clicks")
    assert [(row["hour"] - HOUR, row["clicks"]) for row in found] == [(0, 100), (3600, 3), (7200, 4)]


def test_a_part_may_become_empty(warehouse):
    warehouse.append("hourly", "a", [clicks(HOUR, 1)])
    warehouse.append("hourly", "a", [])
    warehouse.append("hourly", "b", [])
    assert warehouse.query("SELECT * FROM hourly") == []


def test_a_reader_sees_all_of_a_part_or_nothing_while_it_is_replaced(warehouses):
    writer, reader = warehouses.open(), warehouses.open()

    def rewrite() -> None:
        for version in range(1, 26):
            first = HOUR + version % 3 * 3600
            writer.append("hourly", "part", [clicks(first + k % 4 * 3600, version) for k in range(8)])

    with ThreadPoolExecutor(1) as pool:
        writing, seen = pool.submit(rewrite), set()
        while not writing.done():
            (row,) = reader.query("SELECT count(*) AS n, min(clicks) AS low, max(clicks) AS high FROM hourly")
            assert row["n"] in (0, 8)
            assert row["low"] == row["high"]
            seen.add(row["low"])
        writing.result()
    assert len(seen) > 2, "the reader never ran between two writes"


def test_a_part_is_whole_after_its_writer_was_killed(warehouses, spawn):
    reader = warehouses.open()
    # A child takes a while to import the client of a server.
    for _ in range(4 if warehouses.uri.startswith("duckdb:") else 2):
        child = spawn(APPEND_SLOWLY, warehouses.uri, str(HOUR))
        acknowledged = 0
        while acknowledged < 3:
            acknowledged = int(child.stdout.readline())
        child.kill()
        child.wait()
        acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
        (row,) = reader.query("SELECT count(*) AS n, min(clicks) AS low, max(clicks) AS high FROM hourly")
        assert row["n"] == 8
        assert acknowledged <= row["low"] == row["high"]


def test_writers_of_different_parts_lose_nothing(warehouses):
    stores = [warehouses.open() for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: stores[n % 3].append("hourly", f"part{n}", [clicks(HOUR, n)]), range(30)))
    assert stores[0].query("SELECT count(*) AS n, sum(clicks) AS s FROM hourly") == [{"n": 30, "s": 435}]


def test_takes_parameters(warehouse):
    warehouse.append("hourly", "a", [clicks(HOUR, n) for n in range(5)])
    asked = "SELECT clicks FROM hourly WHERE clicks > ? AND placement = ? ORDER BY clicks"
    assert warehouse.query(asked, (2, "home-top")) == [{"clicks": 3}, {"clicks": 4}]


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"hour": HOUR, "klicks": 1}, "klicks"),
        ({"clicks": 1}, "hour"),
        ({"hour": HOUR + 1}, "hour"),
        ({"hour": float(HOUR)}, "hour"),
        ({"hour": HOUR, "clicks": "1"}, "clicks"),
        ({"hour": HOUR, "clicks": 1.0}, "clicks"),
        ({"hour": HOUR, "clicks": True}, "clicks"),
        ({"hour": HOUR, "clicks": 2**63}, "clicks"),
        ({"hour": HOUR, "value": float("nan")}, "value"),
        ({"hour": HOUR, "value": float("-inf")}, "value"),
        ({"hour": HOUR, "item_id": 7}, "item_id"),
        ({"hour": HOUR, "item_id": b"i"}, "item_id"),
        ({"hour": HOUR, "item_id": "\ud800"}, "UTF-8"),
    ],
)
def test_refuses_a_row_that_does_not_fit_and_keeps_none_of_its_part(warehouse, row, named):
    with pytest.raises(InvalidInput, match=named):
        warehouse.append("hourly", "a", [clicks(HOUR, 1), row])
    assert warehouse.query("SELECT * FROM hourly") == []


def test_rows_of_one_part_may_differ_in_their_columns_and_their_kind_of_number(warehouse):
    warehouse.append(
        "hourly", "a", [{"hour": HOUR, "value": 2}, {"value": 0.5, "hour": HOUR}, {"hour": HOUR, "clicks": 3}]
    )
    found = warehouse.query("SELECT value, clicks FROM hourly ORDER BY value NULLS LAST")
    assert found == [{"value": 0.5, "clicks": None}, {"value": 2.0, "clicks": None}, {"value": None, "clicks": 3}]


@pytest.mark.parametrize("part", ["", "a/b", "..", "a.b", "a b", "ä", "x" * 201, "a\n"])
def test_refuses_part_names_that_are_no_plain_words(warehouse, part):
    with pytest.raises(InvalidInput, match="part name"):
        warehouse.append("hourly", part, [clicks(HOUR, 1)])


def test_refuses_an_unknown_table(warehouse):
    with pytest.raises(InvalidInput, match="known: deliveries"):
        warehouse.append("clicks", "a", [])


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", "(?i)syntax"),
        ("SELECT klicks FROM hourly", "klicks"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELECT ?", "parameter"),
        ("SELECT CAST('a' AS INTEGER)", "(?i)convert|int64"),
    ],
)
def test_refuses_a_wrong_question_in_the_engine_s_words(warehouse, sql, message):
    with pytest.raises(InvalidInput, match=message):
        warehouse.query(sql)


def test_answers_with_plain_numbers(warehouse):
    warehouse.append("hourly", "a", [clicks(HOUR, 2**61), clicks(HOUR, 2**61)])
    (row,) = warehouse.query("SELECT sum(clicks) AS total, 1.5 AS decimal, true AS flag FROM hourly")
    assert row == {"total": 2**62, "decimal": 1.5, "flag": True}
    assert {name: type(cell) for name, cell in row.items()} == {"total": int, "decimal": float, "flag": bool}
