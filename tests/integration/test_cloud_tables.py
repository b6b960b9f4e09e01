"""What the warehouse needs in BigQuery is made, found as it was made, and changed where the code has more columns."""

from __future__ import annotations

import pytest
from google.cloud import bigquery as google

from omakase.adapters import open_warehouse
from omakase.adapters.gcp.bigquery.dataset import Dataset
from omakase.cloud.tables import DatasetResource, TableResource, tables_of
from omakase.core.errors import InvalidInput
from omakase.core.tables import TABLES
from tests.counterparts import BIGQUERY, cloud

HOUR = 1_700_000_000 // 3600 * 3600


@pytest.fixture
def dataset():
    """One with nothing in it."""
    BIGQUERY.address()
    made = Dataset(cloud.PROJECT, cloud.fresh_name())
    DatasetResource(made, "empty").ensure()
    return made


def test_a_warehouse_is_made_of_two_datasets_and_a_table_for_each_that_is_declared():
    BIGQUERY.address()
    uri = f"bigquery:{cloud.PROJECT}/{cloud.fresh_name()}?location=EU"
    resources = tables_of([uri, "gs://models/here", uri])
    assert len(resources) == 2 + len(TABLES) + 1
    assert [resource.difference() for resource in resources[:2]] == [
        "create in EU",
        "create in EU, tables deleted after 60 minutes",
    ]
    assert resources[2].difference() == "create, cut by day of `hour`, clustered by hour, _part, request_id"
    for resource in resources:
        resource.ensure()
        resource.ensure()
    assert [resource.difference() for resource in resources] == [None] * len(resources)
    assert open_warehouse(uri).query("SELECT * FROM hourly") == []


def test_a_column_that_is_missing_is_named_and_added_and_rows_stay(dataset):
    table = TableResource(dataset, "arrivals")
    schema = [google.SchemaField("_part", "STRING"), google.SchemaField("hour", "INT64")]
    older = google.Table(f"{dataset.path}.arrivals", schema=schema)
    older.range_partitioning = table.declared().range_partitioning
    older.clustering_fields = ["hour", "_part"]
    dataset.client.create_table(older)
    dataset.run(f"INSERT INTO {dataset.table('arrivals')} (hour) VALUES ({HOUR})")
    assert table.difference() == (
        "add the column served_hour, INT64; add the column deliveries, INT64; add the column events, INT64"
    )
    table.ensure()
    assert table.difference() is None
    # The emulator shows the columns, and does not let anyone ask for them.
    assert dataset.run(f"SELECT hour FROM {dataset.table('arrivals')}") == [{"hour": HOUR}]


@pytest.mark.parametrize("fault", ["type", "cut"])
def test_what_cannot_be_changed_is_refused_with_what_to_do(dataset, fault):
    table = TableResource(dataset, "arrivals")
    other = table.declared()
    if fault == "cut":
        other = google.Table(other.reference, schema=other.schema)
    else:
        other.schema = [*other.schema[:-1], google.SchemaField("events", "STRING")]
    dataset.client.create_table(other)
    named = {"type": "the column events is STRING, not INT64", "cut": "not cut by `hour`"}[fault]
    assert named in str(table.difference())
    with pytest.raises(InvalidInput, match=f"{named}.*copy its rows"):
        table.ensure()


@pytest.mark.parametrize(
    "uri", ["bigquery:project", "bigquery:project/a-b", "bigquery:/d", "bigquery:project/d?place=EU"]
)
def test_an_address_that_is_none_is_refused(uri):
    with pytest.raises(InvalidInput, match="bigquery:"):
        tables_of([uri])
