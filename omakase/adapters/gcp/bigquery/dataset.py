"""A BigQuery dataset: statements, uploads, and what their failures mean."""

from __future__ import annotations

import io
import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.api_core.exceptions import BadRequest, GoogleAPICallError, NotFound
from google.api_core.retry import Retry
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from omakase.adapters.gcp.credentials import credentials_for
from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput, Unavailable
from omakase.core.tables import Columns, ColumnType
from omakase.ports.warehouse import Cell

EMULATOR = "BIGQUERY_EMULATOR_HOST"

SQL_TYPES: Mapping[ColumnType, str] = {
    "text": "STRING",
    "float": "FLOAT64",
    "integer": "INT64",
    "boolean": "BOOL",
    "bytes": "BYTES",
}
STAGING_S = 3600
"""How long the tables of a staging dataset live: BigQuery's least."""

_ANSWER_S = 60.0
_PATIENCE_S = 60.0
_RUN_S = 600.0
_DATASET = re.compile(r"([a-z][a-z0-9.:-]{2,62}[a-z0-9])/([A-Za-z_0-9]{1,1000})")

# A job that did not run, or changed nothing because another changed the same at the same time.
_PASSING = re.compile(
    r"rateLimitExceeded|RateLimitExceeded|backendError|BackendError|could not serialize access|transaction is aborted",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Dataset:
    """Where the tables are, `project.name`, and where the parts are staged that are on their way into them.

    Safe to share between threads. `location` is BigQuery's word for it, such as EU; "" leaves it to BigQuery.
    """

    project: str
    name: str
    location: str = ""

    @classmethod
    def from_uri(cls, uri: Uri) -> Dataset:
        """`bigquery:PROJECT/DATASET[?location=EU]`. Raises: InvalidInput."""
        found = _DATASET.fullmatch(uri.location)
        if not found:
            raise InvalidInput(f"{uri.text!r}: write bigquery:PROJECT/DATASET")
        return cls(found[1], found[2], uri.only("location").get("location", ""))

    @property
    def path(self) -> str:
        return f"{self.project}.{self.name}"

    @property
    def staging(self) -> Dataset:
        return Dataset(self.project, f"{self.name}_staging", self.location)

    def table(self, name: str) -> str:
        """As it stands in a statement."""
        return f"`{self.path}.{name}`"

    @cached_property
    def client(self) -> bigquery.Client:
        return bigquery.Client(
            project=self.project, credentials=credentials_for(EMULATOR), location=self.location or None
        )

    def run(self, sql: str, parameters: Mapping[str, Cell | Sequence[str]] | None = None) -> list[dict[str, Any]]:
        """Run a statement, or several. What may pass is repeated for a minute; BigQuery knows a repeated request by its
        id, and runs it once. Units: it may run for ten minutes.

        Raises: what Google's client raises. Cost: one request, and more for long answers.
        """
        config = bigquery.QueryJobConfig(
            query_parameters=[_parameter(name, cell) for name, cell in (parameters or {}).items()]
        )
        rows = self.client.query_and_wait(
            sql,
            job_config=config,
            retry=RETRY,
            job_retry=JOB_RETRY,
            api_timeout=_ANSWER_S,
            wait_timeout=_RUN_S,
        )
        return [dict(row) for row in rows]

    def upload(self, columns: Columns, lines: bytes) -> str:
        """Load rows, as lines of JSON, into a new staging table, bytes as text in base64, which not everyone who speaks
        the API takes apart. Returns how a statement names the table.

        Idempotent: whatever is repeated replaces what it did. Raises: what Google's client raises. Cost: free; two
        requests and a job of some seconds.
        """
        name = f"rows_{secrets.token_hex(8)}"
        config = bigquery.LoadJobConfig(
            source_format="NEWLINE_DELIMITED_JSON",
            schema=[
                bigquery.SchemaField(column, SQL_TYPES["text" if kind == "bytes" else kind])
                for column, kind in columns.items()
            ],
            write_disposition="WRITE_TRUNCATE",
        )
        target = bigquery.TableReference.from_string(f"{self.staging.path}.{name}")

        def load() -> None:
            # Another job each time: that of a request whose answer was lost fills the table with the same rows.
            job = self.client.load_table_from_file(
                io.BytesIO(lines), target, size=len(lines), num_retries=0, job_config=config, timeout=_ANSWER_S
            )
            job.reload(retry=RETRY)  # the answer to an upload need not say how it stands
            job.result(retry=RETRY, timeout=_RUN_S)

        RETRY(load)()
        return self.staging.table(name)


def _may_pass(error: Exception) -> bool:
    return bool(_PASSING.search(str(error))) or bool(DEFAULT_RETRY._predicate(error))


RETRY = Retry(predicate=_may_pass, initial=0.2, multiplier=2.0, maximum=10.0, timeout=_PATIENCE_S)
"""Exponential, with jitter: no more than a minute, so that who waits is told."""

JOB_RETRY = Retry(predicate=_may_pass, initial=0.5, multiplier=2.0, maximum=10.0, timeout=_PATIENCE_S)


_KINDS = {bool: "BOOL", int: "INT64", bytes: "BYTES", str: "STRING"}


class _Float(bigquery.ScalarQueryParameter):  # type: ignore[misc]
    """The API declares a value as text; the client sends a number, which not everyone who speaks the API takes."""

    def to_api_repr(self) -> dict[str, Any]:
        sent: dict[str, Any] = super().to_api_repr()
        sent["parameterValue"]["value"] = repr(float(self.value))
        return sent


def _parameter(name: str, cell: Cell | Sequence[str]) -> Any:
    if isinstance(cell, float):
        return _Float(name, "FLOAT64", cell)
    if isinstance(cell, (str, int, bytes)):
        # In Python a bool is an int.
        kind = next(kind for python, kind in _KINDS.items() if isinstance(cell, python))
        return bigquery.ScalarQueryParameter(name, kind, cell)
    return bigquery.ArrayQueryParameter(name, "STRING", list(cell or ()))


@contextmanager
def question_errors(tables: Collection[str]) -> Iterator[None]:
    """For statements that others wrote. Raises: InvalidInput with BigQuery's message for what is wrong with them, and
    for tables that are not there, unless they are among `tables`; else as `cloud_errors`."""
    with cloud_errors("query the warehouse"):
        try:
            yield
        except (BadRequest, NotFound) as error:
            if _PASSING.search(str(error)):
                raise
            said = _said(error)
            if _is_missing(said, tables):
                raise Unavailable(f"{said}; `omakase cloud init` makes what is missing") from error
            raise InvalidInput(said) from error


def _is_missing(said: str, tables: Collection[str]) -> bool:
    return "not found" in said.lower() and any(re.search(rf"[.]{table}\b", said) for table in tables)


def _said(error: GoogleAPICallError) -> str:
    """The message without the request it answers."""
    return str(error.message).partition("prettyPrint=false: ")[2] or str(error.message)
