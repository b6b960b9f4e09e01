"""What each workload may do, as narrow as Google Cloud allows: on the topic, the bucket's prefix, the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from omakase.adapters.gcp.bigquery.dataset import Dataset
from omakase.adapters.gcp.pubsub.clients import subscription_path, topic_path
from omakase.adapters.gcp.storage.objects import place_of
from omakase.adapters.uri import Uri
from omakase.cloud.access import Condition, Governed, Grant, SharedDataset, Target
from omakase.cloud.databases import DEFAULT
from omakase.cloud.topics import dead_letter_topic

WORKLOADS: Mapping[str, str] = {
    "gateway": "takes requests, serves operators",
    "recommender": "ranks",
    "tracking": "takes events",
    "batch": "aggregates, counts, compacts",
    "backoffice": "forgets people",
    "trainer": "learns on one machine",
    "dataflow": "learns on Dataflow",
}
LISTENER = "omakaseListener"
LISTENING = ("pubsub.subscriptions.create", "pubsub.subscriptions.consume", "pubsub.subscriptions.delete")
WATERMARK = "omakaseWatermark"
# Dataflow follows the time of a subscription by another one of its own on the same topic.
FOLLOWING = (
    "pubsub.subscriptions.create",
    "pubsub.subscriptions.consume",
    "pubsub.subscriptions.delete",
    "pubsub.subscriptions.get",
)


class Folder(NamedTuple):
    """Part of a bucket; `prefix` ends in a slash or is empty."""

    bucket: str
    prefix: str


class Right(NamedTuple):
    """A role that a workload needs on something."""

    workload: str
    role: str
    target: Target
    condition: Condition | None = None

    def grant(self, member: str) -> Grant:
        return Grant(self.role, member, self.condition)


@dataclass(frozen=True, slots=True)
class Places:
    """Where a deployment keeps what it keeps on Google Cloud; topics by their paths, subscriptions by their names.

    `log` is read by the trainer, `stream` by Dataflow, which puts temporary files into `staging`.
    """

    project: str
    topic: str = ""
    log: str = ""
    stream: str = ""
    announcements: str = ""
    catalogue: Folder | None = None
    models: Folder | None = None
    staging: Folder | None = None
    warehouse: Dataset | None = None
    database: str = ""

    @classmethod
    def of(cls, addresses: Mapping[str, str], project: str, stream: str = "", staging: str = "") -> Places:
        """By the addresses of `adapters:`. Raises: InvalidInput."""
        uris = {name: Uri.parse(address) for name, address in addresses.items()}
        bus, catalogue = uris.get("bus"), uris.get("catalogue")
        is_on_pubsub = bus is not None and bus.scheme == "pubsub"
        announced = catalogue.options.get("announcements", "") if catalogue is not None else ""
        return cls(
            project,
            topic=topic_path(bus.location) if bus is not None and is_on_pubsub else "",
            log=bus.options.get("subscription", "") if bus is not None and is_on_pubsub else "",
            stream=stream,
            announcements=topic_path(announced) if announced else "",
            catalogue=_folder(catalogue),
            models=_folder(uris.get("models")),
            staging=_folder(Uri.parse(staging)) if staging else None,
            warehouse=_dataset(uris.get("warehouse")),
            database=_database(uris.get("contexts")),
        )

    def rights(self) -> Iterator[Right]:
        """All that all workloads need. Who does not read or write a thing has no role on it."""
        yield from self._contexts()
        yield from self._objects()
        if self.announcements:
            yield from self._announcements()
        if self.topic:
            yield from self._bus()
        if self.warehouse is not None:
            yield from self._history(self.warehouse)
        if self.stream:
            yield Right("dataflow", "roles/dataflow.worker", project_of(self.project))

    def _contexts(self) -> Iterator[Right]:
        if not self.database:
            return
        only = Condition("this database", f'resource.name == "{self.database}"')
        project = project_of(self.database.split("/")[1])
        yield Right("recommender", "roles/datastore.viewer", project, only)
        for workload in ("gateway", "tracking", "backoffice"):
            yield Right(workload, "roles/datastore.user", project, only)

    def _objects(self) -> Iterator[Right]:
        # Operators put items, roll models back and freeze them, through the gateway.
        if self.catalogue is not None:
            yield _write("gateway", self.catalogue)
            yield _read("recommender", self.catalogue)
        if self.models is not None:
            yield _read("recommender", self.models)
            for workload in ("gateway", "batch", *self._learners()):
                yield _write(workload, self.models)
        if self.staging is not None and self.stream:
            yield _write("dataflow", self.staging)

    def _announcements(self) -> Iterator[Right]:
        topic, project = Governed(f"topic {self.announcements}", "pubsub", self.announcements), self.announced_in
        yield Right("gateway", "roles/pubsub.publisher", topic)
        for workload in ("gateway", "recommender"):
            yield Right(workload, "roles/pubsub.subscriber", topic)  # attaching to it
            yield Right(workload, f"projects/{project}/roles/{LISTENER}", project_of(project))

    def _bus(self) -> Iterator[Right]:
        topic = Governed(f"topic {self.topic}", "pubsub", self.topic)
        dead = Governed(f"topic {dead_letter_topic(self.topic)}", "pubsub", dead_letter_topic(self.topic))
        for workload in ("tracking", "backoffice"):
            yield Right(workload, "roles/pubsub.publisher", topic)
        if self.log:
            yield Right("trainer", "roles/pubsub.subscriber", self._subscription(self.log))
        if self.stream:
            for role in ("subscriber", "viewer"):
                yield Right("dataflow", f"roles/pubsub.{role}", self._subscription(self.stream))
                yield Right("dataflow", f"roles/pubsub.{role}", topic)
            yield Right("dataflow", "roles/pubsub.publisher", dead)
            yield Right("dataflow", f"projects/{self.read_in}/roles/{WATERMARK}", project_of(self.read_in))

    def _history(self, warehouse: Dataset) -> Iterator[Right]:
        for workload in ("batch", "backoffice", *self._learners()):
            yield Right(workload, "roles/bigquery.jobUser", project_of(warehouse.project))
            # Who only forgets loads nothing.
            for dataset in (warehouse,) if workload == "backoffice" else (warehouse, warehouse.staging):
                shared = SharedDataset(dataset.project, dataset.name)
                yield Right(workload, "roles/bigquery.dataEditor", shared)

    @property
    def announced_in(self) -> str:
        """The project of the announcements."""
        return self.announcements.split("/")[1]

    @property
    def read_in(self) -> str:
        """The project of the bus."""
        return self.topic.split("/")[1]

    def workloads(self) -> dict[str, str]:
        """Those that there are, and what they do."""
        absent = {"trainer": not self.log, "dataflow": not self.stream}
        return {name: purpose for name, purpose in WORKLOADS.items() if not absent.get(name)}

    def dead_letters(self) -> Iterator[tuple[str, Target]]:
        """What Pub/Sub itself must be granted, to move what the trainer could not read: role and target."""
        if self.log:
            dead = dead_letter_topic(self.topic)
            yield "roles/pubsub.publisher", Governed(f"topic {dead}", "pubsub", dead)
            yield "roles/pubsub.subscriber", self._subscription(self.log)

    def _learners(self) -> Iterator[str]:
        yield from (["trainer"] if self.log else []) + (["dataflow"] if self.stream else [])

    def _subscription(self, name: str) -> Governed:
        path = subscription_path(self.topic, name)
        return Governed(f"subscription {path}", "pubsub", path)


def project_of(project: str) -> Governed:
    return Governed(f"project {project}", "projects", f"projects/{project}")


def _folder(uri: Uri | None) -> Folder | None:
    return Folder(*place_of(uri, *uri.options)) if uri is not None and uri.scheme == "gs" else None


def _dataset(uri: Uri | None) -> Dataset | None:
    return Dataset.from_uri(uri) if uri is not None and uri.scheme == "bigquery" else None


def _database(uri: Uri | None) -> str:
    if uri is None or uri.scheme != "datastore":
        return ""
    project, _, name = uri.location.partition("/")
    return f"projects/{project}/databases/{name or DEFAULT}"


def _read(workload: str, folder: Folder) -> Right:
    return Right(workload, "roles/storage.objectViewer", _bucket(folder), _under(folder))


def _write(workload: str, folder: Folder) -> Right:
    return Right(workload, "roles/storage.objectUser", _bucket(folder), _under(folder))


def _bucket(folder: Folder) -> Governed:
    return Governed(f"bucket gs://{folder.bucket}", "storage", f"b/{folder.bucket}")


def _under(folder: Folder) -> Condition | None:
    if not folder.prefix:
        return None
    objects = f"projects/_/buckets/{folder.bucket}/objects/{folder.prefix}"
    # To list objects is asked of the bucket, whatever they are called.
    listing = 'resource.type == "storage.googleapis.com/Bucket"'
    return Condition(f"under {folder.prefix}", f'{listing} || resource.name.startsWith("{objects}")')
