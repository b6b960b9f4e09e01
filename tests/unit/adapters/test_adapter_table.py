"""A URI picks the adapter."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from omakase import adapters
from omakase.adapters import ADAPTERS, Adapter
from omakase.adapters.local.catalogue_store import SqliteCatalogueStore
from omakase.adapters.local.clock import SystemClock
from omakase.adapters.local.event_log import SqliteEventLog
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput

OPENERS = {
    "clock": adapters.open_clock,
    "event bus": adapters.open_event_bus,
    "event log": adapters.open_event_log,
    "model store": adapters.open_model_store,
    "delivery store": adapters.open_delivery_store,
    "context store": adapters.open_context_store,
    "catalogue store": adapters.open_catalogue_store,
    "shared text": adapters.open_shared_text,
    "delivery log": adapters.open_delivery_log,
    "spool reader": adapters.open_spool_reader,
    "training state": adapters.open_training_state,
    "pending batches": adapters.open_pending_batches,
    "warehouse": adapters.open_warehouse,
    "touches": adapters.open_touches,
    "orders": adapters.open_orders,
    "credits": adapters.open_credits,
    "forgotten": adapters.open_forgotten,
    "dead letters": adapters.open_dead_letters,
}


@pytest.mark.parametrize("row", ADAPTERS.values(), ids=[" ".join(key) for key in ADAPTERS])
def test_every_row_names_a_class_that_opens_from_a_uri(row):
    module, _, name = row.target.partition(":")
    assert callable(getattr(importlib.import_module(module), name).from_uri)


def test_every_port_of_the_table_has_a_function():
    assert {port for port, _ in ADAPTERS} == OPENERS.keys()


def test_opens_the_adapter_that_the_scheme_names(tmp_path):
    assert isinstance(adapters.open_clock("system:"), SystemClock)
    assert isinstance(adapters.open_event_bus(f"sqlite:{tmp_path}/a/b/bus.db"), SqliteEventLog)
    assert isinstance(adapters.open_catalogue_store(f"sqlite:{tmp_path}/c.db?durability=disk"), SqliteCatalogueStore)
    assert (tmp_path / "a" / "b" / "bus.db").exists()


@pytest.mark.parametrize("port", OPENERS)
def test_an_unknown_scheme_lists_the_known_ones_of_that_port(port):
    known = ", ".join(f"{scheme}:" for of, scheme in ADAPTERS if of == port)
    with pytest.raises(InvalidInput) as refusal:
        OPENERS[port]("carrier-pigeon:/loft")
    message = str(refusal.value)
    assert message == f"'carrier-pigeon:/loft': no {port} has the scheme 'carrier-pigeon'; known: {known}"


def test_a_scheme_of_another_port_is_unknown_here():
    with pytest.raises(InvalidInput, match=r"no warehouse has the scheme 'sqlite'; known: duckdb:"):
        adapters.open_warehouse("sqlite:/data/w.db")


def test_a_missing_package_names_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(ADAPTERS, ("event bus", "pubsub"), Adapter("no_such_sdk.bus:Bus", extra="gcp"))
    with pytest.raises(InvalidInput, match=r"needs no_such_sdk.*pip install 'omakase\[gcp\]'"):
        adapters.open_event_bus("pubsub://project/topic")


@pytest.mark.parametrize("row", [Adapter("omakase.adapters.gone:Bus", extra="gcp"), Adapter("no_such_sdk:Bus")])
def test_a_missing_module_that_no_extra_brings_is_a_bug_and_stays_one(monkeypatch, row):
    monkeypatch.setitem(ADAPTERS, ("event bus", "pubsub"), row)
    with pytest.raises(ModuleNotFoundError):
        adapters.open_event_bus("pubsub://project/topic")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("/data/bus.db", "no address"),
        ("", "no address"),
        (":/data/bus.db", "no address"),
        ("sqlite:data/bus.db", "must be absolute"),
        ("sqlite:", "must be absolute"),
        ("sqlite:/bus.db?durabilty=disk", "unknown option 'durabilty'; did you mean 'durability'"),
        ("sqlite:/bus.db?x=1", "unknown option 'x'; known: durability"),
        ("sqlite:/bus.db?durability", "options as"),
        ("sqlite:/bus.db?durability=os&durability=disk", "twice"),
        ("sqlite:/bus.db?durability=tape", "'os' or 'disk', not 'tape'"),
    ],
)
def test_a_wrong_address_says_what_to_change(uri, message):
    with pytest.raises(InvalidInput, match=message):
        adapters.open_event_bus(uri)


def test_the_system_clock_takes_no_path():
    with pytest.raises(InvalidInput, match="nothing after"):
        adapters.open_clock("system:/etc")


def test_a_path_is_taken_literally():
    assert Uri.parse("file:/data/100%25 #1/x").path() == Path("/data/100%25 #1/x")


def test_importing_the_table_imports_no_adapter():
    source = "import sys, omakase.adapters; print(*{'sqlite3', 'duckdb', 'numpy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []
