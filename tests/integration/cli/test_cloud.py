"""`omakase cloud init`, against the emulators."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.cloud import bigquery, storage

from omakase.adapters.gcp.bigquery.dataset import Dataset
from omakase.adapters.gcp.credentials import credentials_for
from omakase.cloud.plan import project_of
from omakase.cloud.tables import TableResource
from omakase.core.errors import InvalidInput
from tests.counterparts import BIGQUERY, DATASTORE, GCS, PUBSUB
from tests.counterparts.cloud import PROJECT, fresh_name
from tests.integration.cli.conftest import Omakase


@pytest.fixture
def name() -> str:
    for counterpart in (PUBSUB, GCS, BIGQUERY, DATASTORE):
        counterpart.address()
    return fresh_name()


@pytest.fixture
def config(name: str, tmp_path: Path) -> Path:
    path = tmp_path / "product.yaml"
    path.write_text(
        f"""
placements: {{home: {{variants: {{all: {{share: 10000, policy: chance}}}}}}}}
policies: {{chance: {{type: uniform}}}}
adapters:
  bus: pubsub:{PROJECT}/{name}?subscription={name}-log&journal={{data_dir}}/bus.db
  deliveries: redis://127.0.0.1:6379/0
  contexts: datastore:{PROJECT}
  catalogue: gs://{name}-catalogue/shop?announcements={PROJECT}/{name}-changes
  models: gs://{name}-models/shop
  warehouse: bigquery:{PROJECT}/{name}
"""
    )
    return path


@pytest.fixture
def older(name: str) -> bigquery.Table:
    """The table of events as an older release made it: one column is missing."""
    resource = TableResource(Dataset(PROJECT, name), "events")
    declared = resource.declared()
    older = bigquery.Table(declared.reference, schema=declared.schema[:-1])
    older.clustering_fields, older.range_partitioning = declared.clustering_fields, declared.range_partitioning
    resource.dataset.client.create_dataset(f"{PROJECT}.{name}")
    resource.dataset.client.create_table(older)
    return declared


def test_what_is_missing_is_said_then_made_then_left_alone(
    omakase: Omakase, config: Path, name: str, older: bigquery.Table
) -> None:
    said = omakase("cloud", "init", "--config", config, "--dry-run")
    assert (said.code, "nothing was done" in said.out) == (0, True)
    assert omakase("cloud", "init", "--config", config, "--dry-run").out == said.out  # so nothing was
    made = omakase("cloud", "init", "--config", config)
    assert made.code == 0
    assert made.out.splitlines()[:-1] == said.out.splitlines()[:-1]
    assert f"topic           projects/{PROJECT}/topics/{name}: create" in made.out
    for what in ("subscription", "bucket", "dataset", "table"):
        assert any(line.startswith(what) and name in line for line in made.out.splitlines()), what
    assert f"{name}.events: add the column {older.schema[-1].name}" in made.out
    assert "identities are left out" in made.out
    again = omakase("cloud", "init", "--config", config)
    assert (again.code, "nothing to do" in again.out) == (0, True)
    found = Dataset(PROJECT, name).client.get_table(older.reference)
    assert [field.name for field in found.schema] == [field.name for field in older.schema]


def test_what_fails_is_named_and_the_rest_is_made(
    omakase: Omakase, config: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:1")
        without.setattr("omakase.cloud.tables.RETRY", None)
        without.setattr("omakase.cloud.tables._ANSWER_S", 1.0)
        said = omakase("cloud", "init", "--config", config)
    assert said.code == 3
    assert f"dataset {PROJECT}.{name}" in said.err
    buckets = storage.Client(PROJECT, credentials=credentials_for("STORAGE_EMULATOR_HOST"))
    assert buckets.lookup_bucket(f"{name}-models") is not None


def test_a_directory_is_told_where_the_stores_are_before_anything_runs_on_it(
    omakase: Omakase, config: Path, name: str, tmp_path: Path
) -> None:
    (tmp_path / "items.ndjson").write_text('{"item_id": "i1"}\n')
    assert omakase("cloud", "init", "--config", config, "--data-dir", tmp_path / "desk").code == 0
    assert omakase("items", "import", tmp_path / "items.ndjson", "--data-dir", tmp_path / "desk").code == 0
    buckets = storage.Client(PROJECT, credentials=credentials_for("STORAGE_EMULATOR_HOST"))
    assert list(buckets.list_blobs(f"{name}-catalogue"))


def test_without_addresses_there_is_nothing_to_make(omakase: Omakase, config: Path, name: str) -> None:
    config.write_text(config.read_text().partition("adapters:")[0])
    said = omakase("cloud", "init", "--config", config)
    assert (said.code, "has no `adapters:`" in said.err) == (2, True)


def test_where_buckets_are_is_asked_for_in_a_real_project(
    omakase: Omakase, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("PUBSUB", "STORAGE", "BIGQUERY", "DATASTORE"):
        monkeypatch.delenv(f"{variable}_EMULATOR_HOST", raising=False)
    said = omakase("cloud", "init", "--config", config)
    assert (said.code, "--location" in said.err) == (2, True)


def test_the_project_is_the_one_that_the_addresses_name() -> None:
    assert (
        project_of({"bus": "pubsub:shop/events", "contexts": "datastore:shop/people", "models": "gs://b/m"}) == "shop"
    )
    with pytest.raises(InvalidInput, match="--project"):
        project_of({"bus": "pubsub:shop/events", "warehouse": "bigquery:other/w"})
    with pytest.raises(InvalidInput, match="--project"):
        project_of({"models": "gs://b/m"})
