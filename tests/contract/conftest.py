"""Every adapter of every port, as the address of an empty storage: a cloud adapter joins its suite by one line here.

A maker takes a fresh directory and returns a URI; one that needs a server starts it, or skips and says what to install.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from omakase import adapters
from omakase.adapters.local.clock import MappedClock
from tests.counterparts import cloud

ROOT = Path(__file__).parents[2]
Maker = Callable[[Path], str]

SQLITE: dict[str, Maker] = {
    "sqlite": lambda directory: f"sqlite:{directory}/store.db",
    "sqlite-disk": lambda directory: f"sqlite:{directory}/store.db?durability=disk",
}
REDIS: dict[str, Maker] = {"redis": cloud.redis}
EVENT_LOGS = {**SQLITE, "pubsub": cloud.pubsub}
DELIVERY_STORES = {**SQLITE, **REDIS}
TOUCHES = {**SQLITE, **REDIS}
ORDERS = {**SQLITE, **REDIS}
CREDITS = {**SQLITE, **REDIS}
CONTEXT_STORES = {**SQLITE, "datastore": cloud.datastore}
CATALOGUE_STORES = {**SQLITE, "gcs": cloud.catalogue}
MODEL_STORES: dict[str, Maker] = {"file": lambda directory: f"file:{directory}/models", "gcs": cloud.models}
DELIVERY_LOGS: dict[str, Maker] = {"spool": lambda directory: f"spool:{directory}/spool"}
TRAINING_STATES = SQLITE
DEAD_LETTERS = SQLITE
FORGOTTEN = {**SQLITE, **REDIS}
WAREHOUSES: dict[str, Maker] = {
    "duckdb": lambda directory: f"duckdb:{directory}/warehouse",
    "bigquery": cloud.warehouse,
}


def mapped_clock(directory: Path) -> str:
    MappedClock.create(directory / "clock", 1_700_000_000.0)
    return f"mapped:{directory}/clock"


CLOCKS: dict[str, Maker] = {"system": lambda _: "system:", "mapped": mapped_clock}


@dataclass(frozen=True, slots=True)
class Storage:
    """One storage, opened as often as a test likes; a child process opens it by its URI."""

    uri: str
    opener: Callable[[str], Any]

    def open(self) -> Any:
        return self.opener(self.uri)


def storages(makers: dict[str, Maker], opener: Callable[[str], Any]) -> Any:
    @pytest.fixture(params=makers.values(), ids=makers.keys())
    def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
        return Storage(request.param(tmp_path), opener)

    return storage


clocks = storages(CLOCKS, adapters.open_clock)
event_logs = storages(EVENT_LOGS, adapters.open_event_log)
delivery_stores = storages(DELIVERY_STORES, adapters.open_delivery_store)
touches_stores = storages(TOUCHES, adapters.open_touches)
orders_stores = storages(ORDERS, adapters.open_orders)
credits_stores = storages(CREDITS, adapters.open_credits)
context_stores = storages(CONTEXT_STORES, adapters.open_context_store)
catalogue_stores = storages(CATALOGUE_STORES, adapters.open_catalogue_store)
model_stores = storages(MODEL_STORES, adapters.open_model_store)
delivery_logs = storages(DELIVERY_LOGS, adapters.open_delivery_log)
dead_letters = storages(DEAD_LETTERS, adapters.open_dead_letters)
forgotten_people = storages(FORGOTTEN, adapters.open_forgotten)
training_states = storages(TRAINING_STATES, adapters.open_training_state)
warehouses = storages(WAREHOUSES, adapters.open_warehouse)


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python process that runs the given source with the given arguments. All are gone after the test."""
    children: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", source, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()
