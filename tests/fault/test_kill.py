"""`kill -9` of each process in turn, under traffic, over the real services."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from omakase import models
from omakase.accounts import read_account
from omakase.adapters import open_catalogue_store, open_model_store
from omakase.core.accounting import DeliveryEnd
from omakase.core.catalogue import Item
from omakase.deployment import Deployment
from omakase.supervisor import Supervisor
from tests.fault.traffic import Traffic, wait_until

PRODUCT = """
placements:
  home-top:
    slots: 3
    variants:
      learnt: {share: 10000, policy: thompson, model: clicks}
policies:
  thompson: {type: linear_ts}
models:
  clicks: {features: taste}
features:
  taste:
    item:
      - {type: numeric, name: price, mean: 20, scale: 10}
learning: {session_gap_s: 1, session_max_s: 5, publish_interval_s: 0.5}
"""
# Only where the person's connection ends may a request in flight be cut.
MAY_CUT = {"gateway", "tracking"}
PROCESSES = ["gateway", "recommender-main", "tracking", "trainer", "batch"]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    config = tmp_path / "product.yaml"
    config.write_text(PRODUCT)
    deployment = Deployment(config, tmp_path / "data", tuning={"batch": {"load_s": 0.5}, "trainer": {"tick_s": 0.5}})
    items = [Item(f"i{i}", {"price": float(i)}) for i in range(10)]
    open_catalogue_store(deployment.uris.catalogue).put(items)
    return deployment


@pytest.fixture
def up(deployment: Deployment) -> Iterator[Supervisor]:
    with Supervisor(deployment) as supervisor:
        supervisor.wait_ready(timeout_s=60)
        yield supervisor


@pytest.mark.parametrize("victim", PROCESSES)
def test_a_killed_process_costs_the_storefront_nothing_and_loses_nothing(up: Supervisor, victim: str) -> None:
    with Traffic(up.gateway_url, up.tracking_url) as traffic:
        for _ in range(2):
            wait_for_traffic(traffic)
            kill(up, victim)
            up.wait_ready(timeout_s=60)
        wait_for_traffic(traffic)
    books = traffic.books
    assert books.failures == []
    if victim not in MAY_CUT:
        assert books.cut == 0
    assert books.answers > books.fallbacks
    up.drain()
    assert_books_agree(up.deployment, traffic)


def wait_for_traffic(traffic: Traffic, answers: int = 40) -> None:
    goal = traffic.answers() + answers
    wait_until(lambda: traffic.answers() >= goal, f"{answers} more answers came")


def kill(up: Supervisor, name: str) -> None:
    child = up.processes[name]
    restarts = child.restarts
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: child.restarts > restarts, f"{name} runs again")


def assert_books_agree(deployment: Deployment, traffic: Traffic) -> None:
    """The client's books, tracking's log, the trainer's ends and the model itself."""
    account, books = read_account(deployment), traffic.books
    assert account.faults() == []
    assert (account.deliveries.open, account.events.open, account.parked, account.unread) == (0, 0, 0, 0)
    assert books.accepted <= account.accepted <= books.accepted + books.unknown
    assert account.events.ends.get("after_window", 0) == account.events.ends.get("orphan_expired", 0) == 0
    store = open_model_store(deployment.uris.models)
    statistics = models.newest(store, models.resolve(store, "clicks")).snapshot.statistics
    seen, clicked = len(books.seen), len(books.clicked)
    assert seen <= statistics.examples <= seen + books.unknown
    ends = account.deliveries.ends
    learnt = ends.get(DeliveryEnd.LEARNT, 0)
    assert statistics.examples == learnt + ends.get(DeliveryEnd.LEARNT_WITHOUT_CLICK, 0)
    assert statistics.outcomes["click"].energy == pytest.approx(learnt)
    assert clicked <= learnt <= clicked + books.unknown
