"""What only the warehouse in BigQuery has: an index of parts, uploads, and a column that nobody sees."""

from __future__ import annotations

import pytest

from omakase.adapters import open_warehouse
from omakase.adapters.gcp.bigquery import warehouse as warehouses
from omakase.core.tables import TABLES
from tests.counterparts import cloud

HOUR = 1_700_000_000 // 3600 * 3600
CELLS = {"text": "l'été\n\u2028\"😀", "float": 0.1 + 0.2, "integer": 2**62, "boolean": True, "bytes": bytes(range(256))}


@pytest.fixture
def warehouse(tmp_path):
    return open_warehouse(cloud.warehouse(tmp_path))


def known_parts(warehouse):
    return {row["part"] for row in warehouse._dataset.run(f"SELECT part FROM {warehouse._dataset.table('parts')}")}


def test_the_index_forgets_parts_whose_hours_have_gone_and_keeps_the_newest_of_each_series(warehouse):
    for part, hour in (("log-1", HOUR), ("log-2", HOUR), ("old", HOUR), ("new", HOUR + 3600), ("empty", None)):
        warehouse.append("events", part, [{"hour": hour}] if hour else [])
    assert known_parts(warehouse) == {"log-2", "old", "new", "empty"}
    assert warehouse.expire("events", HOUR + 3600) == 1
    assert known_parts(warehouse) == {"log-2", "new"}


@pytest.mark.parametrize("is_again", [False, True])
def test_what_is_uploaded_is_what_is_sent_with_a_statement(warehouse, monkeypatch, is_again):
    full = {name: CELLS[kind] for name, kind in TABLES["deliveries"].items()} | {"hour": HOUR}
    rows = [full, {"hour": HOUR + 3600}]
    warehouse.append("deliveries", "sent", rows)
    sent = warehouse.query("SELECT * FROM deliveries ORDER BY hour")
    monkeypatch.setattr(warehouses, "INLINE_BYTES", 0)
    warehouse.append("deliveries", "sent", [] if not is_again else rows)
    warehouse.append("deliveries", "uploaded", [] if is_again else rows)
    assert warehouse.query("SELECT * FROM deliveries ORDER BY hour") == sent == [full, dict.fromkeys(full) | rows[1]]


def test_queries_do_not_show_which_part_a_row_is_of(warehouse):
    warehouse.append("hourly", "a", [{"hour": HOUR}])
    (row,) = warehouse.query("SELECT * FROM (SELECT * FROM hourly)")
    assert list(row) == list(TABLES["hourly"])
