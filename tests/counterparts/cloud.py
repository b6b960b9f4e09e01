"""Addresses of empty cloud storages, each a test's own. Each skips where its counterpart is not here."""

from __future__ import annotations

import uuid
from functools import cache
from pathlib import Path

from tests.counterparts import BIGQUERY, DATASTORE, GCS, PUBSUB, REDIS
from tests.counterparts import PROJECT as PROJECT

BUCKET = "omakase-test"


def pubsub(directory: Path) -> str:
    from omakase.cloud.topics import Subscription, Topic

    PUBSUB.address()
    name = fresh_name()
    topic, subscription = f"projects/{PROJECT}/topics/{name}", f"projects/{PROJECT}/subscriptions/{name}"
    Topic(topic).ensure()
    Subscription(subscription, topic, ack_deadline_s=10).ensure()
    return f"pubsub:{PROJECT}/{name}?subscription={name}&journal={directory}/journal.db"


def models(directory: Path) -> str:
    return _in_bucket(f"gs://{BUCKET}/{fresh_name()}/models")


def catalogue(directory: Path) -> str:
    return _in_bucket(f"gs://{BUCKET}/{fresh_name()}/catalogue")


def _in_bucket(uri: str) -> str:
    from omakase.cloud.buckets import buckets_of

    GCS.address()
    for bucket in buckets_of([uri], PROJECT, "us-central1"):
        bucket.ensure()
    return uri


def warehouse(directory: Path) -> str:
    """This process's own, emptied: tables take the emulator long to make, and the more the longer."""
    from omakase.adapters.gcp.bigquery.dataset import Dataset
    from omakase.adapters.uri import Uri
    from omakase.cloud.tables import TableResource, tables_of

    BIGQUERY.address()
    uri = _warehouse()
    dataset = Dataset.from_uri(Uri.parse(uri))
    tables = [resource.table for resource in tables_of([uri]) if isinstance(resource, TableResource)]
    dataset.run(";".join(f"DELETE FROM {dataset.table(table)} WHERE TRUE" for table in tables))
    return uri


@cache
def _warehouse() -> str:
    from omakase.cloud.tables import tables_of

    uri = f"bigquery:{PROJECT}/{fresh_name()}"
    for resource in tables_of([uri]):
        resource.ensure()
    return uri


def datastore(directory: Path) -> str:
    DATASTORE.address()
    return f"datastore:{PROJECT}?namespace={fresh_name()}"


def redis(directory: Path) -> str:
    return f"redis://{REDIS.address()}/0?prefix={fresh_name()}"


def fresh_name() -> str:
    return f"t{uuid.uuid4().hex[:12]}"
