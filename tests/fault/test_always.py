"""Always an answer: over the real services, while they are restarted, hang, and are killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from benchmarks.connection import request
from benchmarks.load import Load, run
from omakase.accounts import read_account
from omakase.adapters import open_catalogue_store
from omakase.core.catalogue import Item
from omakase.keys import load_keys
from omakase.supervisor import Supervisor
from tests.fault.matrix.shop import PLACEMENT, open_shop
from tests.fault.matrix.wire import post
from tests.integration.stage import until

SLATES, SLOTS, PEOPLE = "/v1/recommendations", 3, 50
SOLD_OUT, HIDDEN, EXCLUDED = "i0", "i1", "i2"


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Supervisor]:
    deployment = open_shop(tmp_path)
    open_catalogue_store(deployment.uris.catalogue).put([Item(SOLD_OUT, in_stock=False), Item(HIDDEN, hidden=True)])
    with Supervisor(deployment) as up:
        up.wait_ready(60.0)
        yield up


def ask(up: Supervisor, person: int) -> dict[str, Any]:
    body = {"placement": PLACEMENT, "anonymous_id": f"a{person}", "exclude": [EXCLUDED]}
    response = post(up.gateway_url, SLATES, body)
    assert response.status == 200
    slate: dict[str, Any] = response.body
    return slate


def is_served(up: Supervisor) -> bool:
    return not any(ask(up, person)["fallback"] for person in range(5))


@contextmanager
def steady(url: str, path: str, bodies: list[bytes], items: int | None = None) -> Iterator[Callable[[], list[Load]]]:
    """Requests by the clock until the loads are asked for."""
    asks, over = [request(url, path, body) for body in bodies], Event()

    def keep_on() -> list[Load]:
        loads = []
        while not over.is_set():
            loads.append(run(url, asks, connections=8, seconds=2.0, rate=60.0, items=items))
        return loads

    with ThreadPoolExecutor(1) as thread:
        future: Future[list[Load]] = thread.submit(keep_on)

        def end() -> list[Load]:
            over.set()
            return future.result(60)

        try:
            yield end
        finally:
            over.set()


def patiently(is_true: Callable[[], bool], what: str) -> None:
    """The batch jobs yield to everybody: on a busy machine it is long before they end."""
    deadline = time.monotonic() + 180
    while not is_true():
        assert time.monotonic() < deadline, f"still waiting until {what}"
        Event().wait(0.02)


def restart(up: Supervisor, name: str) -> None:
    child = up.processes[name]
    before = child.restarts
    os.kill(child.pid, signal.SIGTERM)
    patiently(lambda: child.restarts > before, f"{name} is started again")
    patiently(lambda: child.is_running and child.program.is_ready(), f"{name} serves again")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_process_is_restarted_under_load_and_no_request_fails(up: Supervisor) -> None:
    shown = [item["delivery_id"] for item in ask(up, 0)["items"]]
    events = [json.dumps({"events": [{"delivery_id": id_, "type": "impression"}]}).encode() for id_ in shown]
    people = [json.dumps({"placement": PLACEMENT, "anonymous_id": f"a{i}"}).encode() for i in range(PEOPLE)]
    with (
        steady(up.gateway_url, SLATES, people, SLOTS) as end_slates,
        steady(up.tracking_url, "/v1/events", events) as end_events,
    ):
        for name in up.processes:
            restart(up, name)
        slates, beacons = end_slates(), end_events()
    for loads in (slates, beacons):
        assert sum(load.answers for load in loads) > 100
        assert [load.errors for load in loads] == [0] * len(loads)
    assert sum(load.short for load in slates) == 0
    up.drain()
    account = read_account(up.deployment)
    assert account.faults() == []
    assert account.accepted == sum(load.answers for load in beacons)


@pytest.mark.slow
def test_a_recommender_that_hangs_or_is_dead_costs_the_storefront_milliseconds(up: Supervisor) -> None:
    until(lambda: is_served(up), "the recommender answers")
    variants = {person: ask(up, person)["variant"] for person in range(PEOPLE)}
    recommender = up.processes["recommender-main"]
    keyring = load_keys(up.deployment.keys)

    def fallbacks() -> float:
        """The median time of an answer, each of which is all that it should be. Units: seconds."""
        took = []
        for person, variant in variants.items():
            started = time.perf_counter()
            slate = ask(up, person)
            took.append(time.perf_counter() - started)
            assert (slate["fallback"], slate["policy"], slate["variant"]) == (True, "fallback", variant)
            assert len(slate["items"]) == SLOTS
            assert not {item["item_id"] for item in slate["items"]} & {SOLD_OUT, HIDDEN, EXCLUDED}
            for item in slate["items"]:
                assert keyring.verify(item["delivery_id"], time.time(), 60).position == item["position"]
        return sorted(took)[len(took) // 2]

    os.kill(recommender.pid, signal.SIGSTOP)
    try:
        until(lambda: ask(up, 0)["fallback"], "it hangs")
        while_it_hangs_s = fallbacks()
    finally:
        os.kill(recommender.pid, signal.SIGCONT)
    until(lambda: is_served(up), "it goes on")
    os.kill(recommender.pid, signal.SIGKILL)
    while_it_is_dead_s = fallbacks()
    until(lambda: is_served(up), "it is started again")
    print(f"fallback slates: {while_it_hangs_s * 1e3:.1f} ms while it hangs, {while_it_is_dead_s * 1e3:.1f} ms dead")
    assert max(while_it_hangs_s, while_it_is_dead_s) < 0.02
    up.drain()
    assert read_account(up.deployment).faults() == []
