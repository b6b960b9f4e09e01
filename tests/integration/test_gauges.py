"""What Prometheus is told is what `omakase events stats` says; and a clock that was ahead is a fault."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from omakase.accounts import read_account
from omakase.ports.event_bus import Message
from omakase.serving.gauges import LoaderGauges, TrainerGauges, serve_gauges
from tests.integration.stage import START, free_port
from tests.integration.test_dead_letters import Office
from tests.integration.test_tracking import new_slate


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    slate = new_slate()
    office.receive(slate, new_slate())
    office.happen(slate, (1, "click"), (2, "impression"), (2, "impression"))
    office.bus.publish([Message(b"x" * 16, START, b"\xff")])
    office.tick(START + 20)
    office.loader.load()
    office.happen(slate, (3, "impression"))
    return office


def test_the_gauges_say_what_the_account_says(office):
    registry, port = CollectorRegistry(), free_port()
    registry.register(LoaderGauges(office.bus, office.loader.cursor.read))
    trainer = TrainerGauges(office.state, office.letters, office.bus, office.store)
    serve_gauges(f"127.0.0.1:{port}", trainer, registry)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        told = [line.split() for line in answer.read().decode().splitlines() if not line.startswith("#")]
    found = {name: float(value) for name, value in told}
    account = office.account()
    expected = {
        "omakase_deliveries_open": account.deliveries.open,
        "omakase_events_open": account.events.open,
        "omakase_trainer_unread": account.unread,
        "omakase_trainer_ticks": office.state.progress().number,
        "omakase_warehouse_unloaded": account.loaded.unloaded,
        'omakase_dead_letters{kind="events",reason="undecodable"}': 1,
        'omakase_model_published_seconds{model="clicks/abc"}': START + 20,
        **{f'omakase_deliveries_ended{{state="{name}"}}': n for name, n in account.deliveries.ends.items()},
        **{f'omakase_events_ended{{state="{name}"}}': n for name, n in account.events.ends.items()},
    }
    assert found == expected
    assert (account.unread, account.loaded.unloaded, account.deliveries.open) == (1, 1, 4)


def test_without_an_address_nothing_is_served(office):
    registry = CollectorRegistry()
    serve_gauges(None, LoaderGauges(office.bus, lambda: 0), registry)
    assert list(registry.collect()) == []


def test_sessions_closed_by_a_clock_that_was_ahead_are_a_fault_until_it_gets_there(office, tmp_path):
    assert office.trainer.clock_fault() == ""
    office.tick(START + 5000)
    (tmp_path / "clock").unlink()
    back = Office(tmp_path)  # its clock shows the right time again
    for fault in (back.trainer.clock_fault(), *read_account(back.deployment).faults()):
        assert fault.startswith("the trainer has closed sessions as of 5000 s from now: the clock was ahead")
    back.clock.move(START + 4950)
    assert back.trainer.clock_fault() == ""
    assert read_account(back.deployment).faults() == []
