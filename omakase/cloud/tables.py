"""The warehouse's datasets and tables in BigQuery: what is declared in `omakase.core.tables`, made so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import Conflict, NotFound, PreconditionFailed
from google.cloud import bigquery

from omakase.adapters.gcp.bigquery import part_index
from omakase.adapters.gcp.bigquery.dataset import RETRY, SQL_TYPES, STAGING_S, Dataset
from omakase.adapters.gcp.bigquery.warehouse import PART
from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.uri import Uri
from omakase.cloud.resource import Resource
from omakase.core.errors import InvalidInput
from omakase.core.tables import TABLES

_ANSWER_S = 60.0
_TRIES = 5
_DAY_S = 86_400
_FIRST_DAY = 1_577_836_800  # 2020-01-01; what is older, or from after 2047, shares one partition
_DAYS = 9_999  # BigQuery allows 10,000 partitions, and one is for what has no hour
_LEGACY = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}

_DESCRIPTIONS: Mapping[str, str] = {
    "deliveries": "An item served at a position: by what, to whom, and how likely that was.",
    "propensities": "How likely each position of a slate was to be what it is, counted after it was served.",
    "events": "What became of deliveries, as accepted: impressions, clicks, conversions, returns.",
    "examples": "What models learnt from, batch by batch, with corrections and retractions.",
    "hourly": "Sums by hour of serving: kept when the rows about single people have gone.",
    "arrivals": "How many rows came into an hour for the slates of which hour.",
    "tallies": "What the streaming job counted, as increments.",
    "publications": "The models that the streaming job published, and what they hold.",
    part_index.TABLE: "The newest part of each series of each table, and of which hours its rows are.",
}


def tables_of(uris: Iterable[str]) -> list[Resource]:
    """What the warehouses among some addresses need, in the order in which it is made. Raises: InvalidInput."""
    found: list[Resource] = []
    for dataset in dict.fromkeys(Dataset.from_uri(Uri.parse(uri)) for uri in uris if uri.startswith("bigquery:")):
        found += [
            DatasetResource(dataset, "The warehouse of Omakase."),
            DatasetResource(dataset.staging, "Rows on their way into the warehouse.", STAGING_S * 1000),
            *(TableResource(dataset, table) for table in (*TABLES, part_index.TABLE)),
        ]
    return found


@dataclass(frozen=True, slots=True)
class DatasetResource:
    """Resource. `expiration_ms` is how long its tables live, if not for ever."""

    dataset: Dataset
    description: str
    expiration_ms: int | None = None

    @property
    def name(self) -> str:
        return f"dataset {self.dataset.path}"

    def difference(self) -> str | None:
        """See Resource. Cost: one request."""
        found = self._found()
        if found is None:
            gone = f", tables deleted after {self.expiration_ms // 60_000} minutes" if self.expiration_ms else ""
            return f"create in {self.dataset.location or 'the default location'}{gone}"
        if self._is_elsewhere(found):
            return f"is in {found.location}, not {self.dataset.location}"
        return "change how long tables live" if self._lives_otherwise(found) else None

    def ensure(self) -> None:
        """See Resource. Cost: two requests at most."""
        found = self._found()
        if found is None:
            wanted = bigquery.Dataset(self.dataset.path)
            wanted.description, wanted.default_table_expiration_ms = self.description, self.expiration_ms
            if self.dataset.location:
                wanted.location = self.dataset.location
            with cloud_errors(f"create {self.name}"):
                self.dataset.client.create_dataset(wanted, exists_ok=True, retry=RETRY, timeout=_ANSWER_S)
            return
        if self._is_elsewhere(found):
            raise InvalidInput(
                f"{self.name} is in {found.location}, not {self.dataset.location}: name that, or another dataset"
            )
        if self._lives_otherwise(found):
            found.default_table_expiration_ms = self.expiration_ms
            with cloud_errors(f"change {self.name}"):
                changed = ["default_table_expiration_ms"]
                self.dataset.client.update_dataset(found, changed, retry=RETRY, timeout=_ANSWER_S)

    def _found(self) -> Any:
        with cloud_errors(f"look at {self.name}"):
            try:
                return self.dataset.client.get_dataset(self.dataset.path, retry=RETRY, timeout=_ANSWER_S)
            except NotFound:
                return None

    def _is_elsewhere(self, found: Any) -> bool:
        told = found.location and self.dataset.location
        return bool(told) and found.location.upper() != self.dataset.location.upper()

    def _lives_otherwise(self, found: Any) -> bool:
        # An emulator says nothing of where it is, nor of this.
        return bool(found.location) and found.default_table_expiration_ms != self.expiration_ms


@dataclass(frozen=True, slots=True)
class TableResource:
    """Resource. Cut by day, the rows of an hour and of a part side by side. Columns are added, and never dropped."""

    dataset: Dataset
    table: str

    @property
    def name(self) -> str:
        return f"table {self.dataset.path}.{self.table}"

    def difference(self) -> str | None:
        """See Resource. Cost: one request."""
        found = self._found()
        if found is None:
            cut = "cut by day of `hour`, " if self._is_cut else ""
            return f"create, {cut}clustered by {', '.join(self._clustering)}"
        faults, missing = self._faults(found), self._missing(found)
        changes = [f"add the column {name}, {kind}" for name, kind in missing.items()]
        if list(found.clustering_fields or ()) != self._clustering:
            changes.append(f"cluster by {', '.join(self._clustering)}")
        return "; ".join([*faults, *changes]) or None

    def ensure(self) -> None:
        """See Resource. Cost: one request, two where something is to be done; rows are neither read nor written."""
        found = self._found()
        if found is None:
            with cloud_errors(f"create {self.name}"):
                try:
                    self.dataset.client.create_table(self.declared(), retry=RETRY, timeout=_ANSWER_S)
                    return
                except Conflict:
                    found = self._found()
        if faults := self._faults(found):
            raise InvalidInput(
                f"{self.name}: {'; '.join(faults)}: copy its rows into a table as declared, then rename that; a table "
                "cannot be changed so"
            )
        with cloud_errors(f"change {self.name}"):
            for left in reversed(range(_TRIES)):
                missing = [bigquery.SchemaField(name, kind) for name, kind in self._missing(found).items()]
                if not missing and list(found.clustering_fields or ()) == self._clustering:
                    return
                found.schema, found.clustering_fields = [*found.schema, *missing], self._clustering
                try:
                    changed = ["schema", "clustering_fields"]
                    self.dataset.client.update_table(found, changed, retry=RETRY, timeout=_ANSWER_S)
                    return
                except PreconditionFailed:  # somebody else has changed it since it was looked at
                    if not left:
                        raise
                    found = self._found()

    @property
    def _is_cut(self) -> bool:
        return self.table in TABLES

    @property
    def _columns(self) -> Mapping[str, str]:
        if not self._is_cut:
            return {name: SQL_TYPES[kind] for name, kind in part_index.COLUMNS.items()}
        return {PART: "STRING", **{name: SQL_TYPES[kind] for name, kind in TABLES[self.table].items()}}

    @property
    def _clustering(self) -> list[str]:
        # A partition is a day: hours are asked for one by one, and parts are looked for when they are written.
        return [name for name in ("hour", PART, "request_id", "of", "series") if name in self._columns]

    def declared(self) -> bigquery.Table:
        """As it should be."""
        schema = [
            bigquery.SchemaField(name, kind, mode="REQUIRED" if name in ("hour", "of", "series") else "NULLABLE")
            for name, kind in self._columns.items()
        ]
        wanted = bigquery.Table(f"{self.dataset.path}.{self.table}", schema=schema)
        wanted.description, wanted.clustering_fields = _DESCRIPTIONS[self.table], self._clustering
        if self._is_cut:
            wanted.range_partitioning = bigquery.RangePartitioning(
                field="hour",
                range_=bigquery.PartitionRange(start=_FIRST_DAY, end=_FIRST_DAY + _DAYS * _DAY_S, interval=_DAY_S),
            )
        return wanted

    def _found(self) -> Any:
        with cloud_errors(f"look at {self.name}"):
            try:
                name = f"{self.dataset.path}.{self.table}"
                return self.dataset.client.get_table(name, retry=RETRY, timeout=_ANSWER_S)
            except NotFound:
                return None

    def _missing(self, found: Any) -> dict[str, str]:
        there = {field.name for field in found.schema}
        return {name: kind for name, kind in self._columns.items() if name not in there}

    def _faults(self, found: Any) -> list[str]:
        """What cannot be changed."""
        faults = [
            f"the column {field.name} is {field.field_type}, not {self._columns[field.name]}"
            for field in found.schema
            if field.name in self._columns and _spelt(field.field_type) != _spelt(self._columns[field.name])
        ]
        if self._is_cut and (found.range_partitioning is None or found.range_partitioning.field != "hour"):
            faults.append("it is not cut by `hour`")
        return faults


def _spelt(kind: str) -> str:
    """The API's older names are what it answers with."""
    return _LEGACY.get(kind, kind)
