"""Addresses of empty cloud storages, each a test's own. Each skips where its counterpart is not here."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.counterparts import REDIS

PROJECT = "omakase-test"


def pubsub(directory: Path) -> str:
    pytest.skip("the Pub/Sub adapter is not there yet")


def models(directory: Path) -> str:
    pytest.skip("the GCS adapter is not there yet")


def catalogue(directory: Path) -> str:
    pytest.skip("the GCS adapter is not there yet")


def warehouse(directory: Path) -> str:
    pytest.skip("the BigQuery adapter is not there yet")


def datastore(directory: Path) -> str:
    pytest.skip("the Datastore adapter is not there yet")


def redis(directory: Path) -> str:
    REDIS.address()
    pytest.skip("the Redis adapter is not there yet")


def fresh_name() -> str:
    return f"t{uuid.uuid4().hex[:12]}"
