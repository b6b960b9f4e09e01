"""BigQuery that fails in the ways it does: repeated where it may pass, told where not, and nothing is there twice."""

from __future__ import annotations

import json

import pytest

from omakase.adapters import open_warehouse
from omakase.adapters.gcp.bigquery import dataset as bigquery
from omakase.adapters.gcp.bigquery import warehouse as warehouses
from omakase.adapters.gcp.bigquery.warehouse import BigQueryWarehouse
from omakase.core.errors import InvalidInput, Unavailable
from tests.counterparts import cloud
from tests.counterparts.http_faults import Fault, HttpFaults

HOUR = 1_700_000_000 // 3600 * 3600


def refusal(status: int, reason: str, message: str) -> Fault:
    """The first statement that writes rows is answered so."""
    body = {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}
    return Fault(status=status, about="INSERT INTO", body=json.dumps(body).encode())


PASSING = {
    "503": Fault(status=503, about="INSERT INTO"),
    "429": Fault(status=429, about="INSERT INTO"),
    "too many": refusal(403, "rateLimitExceeded", "Exceeded rate limits"),
    "backend": refusal(500, "backendError", "try again"),
    "somebody else writes": refusal(
        400, "invalidQuery", "Could not serialize access to table p:d.events due to concurrent update"
    ),
    "reset": Fault(about="INSERT INTO"),
    "reset once it was done": Fault(about="INSERT INTO", is_done=True),
    "late, and done": Fault(about="INSERT INTO", is_late=True, is_done=True),
}


@pytest.fixture
def warehouse(tmp_path):
    return open_warehouse(cloud.warehouse(tmp_path))


def faulty(warehouse: BigQueryWarehouse, *faults: Fault) -> HttpFaults:
    return HttpFaults(*faults).on(warehouse._dataset.client)


def clicks(n: int, versions: int = 1) -> list[dict[str, object]]:
    return [{"hour": HOUR, "clicks": n} for _ in range(versions)]


def found(warehouse: BigQueryWarehouse) -> list[object]:
    return [row["clicks"] for row in warehouse.query("SELECT clicks FROM hourly ORDER BY clicks")]


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_what_passes_is_repeated_and_no_row_is_doubled(warehouse, fault):
    warehouse.append("hourly", "log-1", clicks(1))
    faults = faulty(warehouse, fault)
    warehouse.append("hourly", "log-2", clicks(2, versions=3))
    assert not faults.left
    assert found(warehouse) == [1, 2, 2, 2]


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_a_part_that_is_written_again_is_replaced_once_whatever_fails(warehouse, fault):
    warehouse.append("hourly", "log-1", clicks(1))
    warehouse.append("hourly", "log-2", clicks(2))
    faults = faulty(warehouse, fault)
    warehouse.append("hourly", "log-2", clicks(3))
    assert not faults.left
    assert found(warehouse) == [1, 3]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503, about="/upload/"),
        Fault(about="/upload/"),
        Fault(about="/upload/", is_done=True),
        Fault(status=503, method="GET", about="/jobs/"),
        Fault(status=503, about="hourly` (_part", is_done=True),
    ],
    ids=["503", "reset", "reset once it was loaded", "503 when asked how it stands", "503 once it was inserted"],
)
def test_an_upload_that_fails_is_repeated_and_no_row_is_doubled(warehouse, fault, monkeypatch):
    monkeypatch.setattr(warehouses, "INLINE_BYTES", 0)
    faults = faulty(warehouse, fault)
    warehouse.append("hourly", "log-1", clicks(1, versions=3))
    assert not faults.left
    assert found(warehouse) == [1, 1, 1]


def test_what_does_not_pass_is_told_and_the_part_can_be_written_again(warehouse, monkeypatch):
    impatient = bigquery.RETRY.with_timeout(0.3)
    monkeypatch.setattr(bigquery, "RETRY", impatient)
    monkeypatch.setattr(bigquery, "JOB_RETRY", impatient)
    faulty(warehouse, *(Fault(status=503, about="INSERT INTO `omakase-dev") for _ in range(30)))
    with pytest.raises(Unavailable, match="cannot write part 'log-1' of hourly"):
        warehouse.append("hourly", "log-1", clicks(1))
    faulty(warehouse)
    assert found(warehouse) == []
    warehouse.append("hourly", "log-1", clicks(1))
    assert found(warehouse) == [1]


def test_a_writer_that_is_gone_between_its_statements_leaves_nothing_doubled(warehouse, monkeypatch):
    monkeypatch.setattr(bigquery, "RETRY", None)
    monkeypatch.setattr(bigquery, "JOB_RETRY", None)
    faulty(warehouse, Fault(about="hourly` (_part", is_done=True))
    with pytest.raises(Unavailable):
        warehouse.append("hourly", "log-1", clicks(1))
    assert found(warehouse) == [1]
    warehouse.append("hourly", "log-1", clicks(2))
    assert found(warehouse) == [2]


@pytest.mark.parametrize("is_again", [False, True])
def test_a_part_that_two_write_at_once_is_there_once(warehouse, monkeypatch, is_again):
    """Neither statement sees what the other inserts: BigQuery shows each the table as it was when it began."""
    if is_again:
        warehouse.append("hourly", "log-1", clicks(1))
    run = bigquery.Dataset.run
    others = [f"INSERT INTO {warehouse._dataset.table('hourly')} (_part, hour, clicks) VALUES ('log-1', {HOUR}, 2)"]

    def at_once(dataset, sql, parameters=None):
        rows = run(dataset, sql, parameters)
        if "INSERT INTO" in sql and ".hourly`" in sql and others:
            run(dataset, others.pop())
        return rows

    monkeypatch.setattr(bigquery.Dataset, "run", at_once)
    warehouse.append("hourly", "log-1", clicks(2))
    assert (found(warehouse), others) == ([2], [])


def test_hours_that_a_part_was_in_are_known_although_its_next_writer_died(warehouse, monkeypatch):
    warehouse.append("hourly", "log-1", clicks(1))
    moved = [{"hour": HOUR + 7200, "clicks": 2}]
    with monkeypatch.context() as without:
        without.setattr(bigquery, "RETRY", None)
        without.setattr(bigquery, "JOB_RETRY", None)
        faulty(warehouse, Fault(about="BEGIN TRANSACTION"))
        with pytest.raises(Unavailable):
            warehouse.append("hourly", "log-1", moved)
    assert found(warehouse) == [1]
    warehouse.append("hourly", "log-1", moved)
    assert found(warehouse) == [2]


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [(403, "accessDenied", "no permission bigquery.tables.updateData"), (403, "quotaExceeded", "daily quota")],
)
def test_what_is_not_allowed_is_told_at_once(warehouse, status, reason, message):
    faults = faulty(warehouse, refusal(status, reason, message))
    with pytest.raises(Unavailable, match=message):
        warehouse.append("hourly", "log-1", clicks(1))
    assert sum("/queries" in seen for seen in faults.seen) <= 2


def test_a_question_that_is_wrong_is_not_asked_twice(warehouse):
    faults = faulty(warehouse)
    with pytest.raises(InvalidInput, match="klicks"):
        warehouse.query("SELECT klicks FROM hourly")
    assert len(faults.seen) == 1


def test_a_missing_dataset_is_told_with_what_makes_it(warehouse):
    missing = open_warehouse("bigquery:omakase-dev/nowhere")
    with pytest.raises(Unavailable, match="nowhere"):
        missing.append("hourly", "log-1", clicks(1))
    with pytest.raises(Unavailable, match="omakase cloud init"):
        missing.query("SELECT clicks FROM hourly")
