"""Two gateways and two recommenders, processes as in a cluster, over one catalogue in a bucket: what is hidden through
one of them is gone everywhere."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from omakase.adapters import open_catalogue_store
from omakase.adapters.gcp.pubsub.clients import publisher, topic_path
from omakase.api_keys import Scope
from omakase.cloud.topics import Topic
from omakase.core.catalogue import Item
from omakase.issuing import create_key
from omakase.settings import GatewaySettings, RecommenderSettings, Settings
from tests.counterparts import PUBSUB, cloud
from tests.integration.stage import KEYS, PATIENCE_S, Tracking, free_port, until

GONE_S = 2.0
WATCHED_S = 0.3  # after that
PRODUCT = """
placements:
  home-top:
    slots: 5
    time_zone: UTC
    variants:
      chance: {share: 10000, policy: chance}
policies:
  chance: {type: uniform}
"""
ITEMS = [f"i{n}" for n in range(5)]


@dataclass(frozen=True, slots=True)
class Shown:
    """A slate: when it was asked for and when it was there, by the test's clock."""

    asked_at: float
    shown_at: float
    gateway: int
    is_fallback: bool
    item_ids: frozenset[str]


@dataclass
class Pod:
    """A service as a process, with nothing but its environment."""

    module: str
    settings: Settings
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("OMAKASE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", self.module], env=environ | self.settings.to_environ(), start_new_session=True
        )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@dataclass
class Cluster:
    """Everything, and shoppers who ask each gateway all the while."""

    directory: Path
    catalogue: str
    tracking: str
    ports: list[int] = field(default_factory=lambda: [free_port(), free_port()])
    metrics: list[int] = field(default_factory=lambda: [free_port(), free_port()])
    shown: list[Shown] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.directory / "product.yaml").write_text(PRODUCT)
        (self.directory / "keys.yaml").write_text(KEYS)
        (self.directory / "keys.yaml").chmod(0o600)
        self.key = create_key(self.directory / "keys.yaml", "ops", Scope.ADMIN)
        targets = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        self.recommenders = [Pod("recommender", self._recommender(n, target)) for n, target in enumerate(targets)]
        self.gateways = [Pod("gateway", self._gateway(n, targets)) for n in range(2)]
        self.is_over = threading.Event()
        self.shoppers = [threading.Thread(target=self._shop, args=(n % 2,)) for n in range(4)]

    def _common(self, name: str) -> dict[str, Any]:
        return {
            "config": str(self.directory / "product.yaml"),
            "keys": str(self.directory / "keys.yaml"),
            "catalogue": self.catalogue,
            "models": f"file:{self.directory / 'models'}",
            "spool": f"spool:{self.directory / name}",
            "tracking": self.tracking,
        }

    def _recommender(self, n: int, target: str) -> RecommenderSettings:
        return RecommenderSettings.model_validate(
            {
                **self._common(f"recommender-{n}"),
                "grpc_address": target,
                "metrics_address": f"127.0.0.1:{self.metrics[n]}",
                "contexts": f"sqlite:{self.directory / 'contexts.db'}",
            }
        )

    def _gateway(self, n: int, targets: list[str]) -> GatewaySettings:
        return GatewaySettings.model_validate(
            {
                **self._common(f"gateway-{n}"),
                "http_address": f"127.0.0.1:{self.ports[n]}",
                "recommenders": json.dumps({"main": targets}),
            }
        )

    def _shop(self, gateway: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self.ports[gateway], timeout=PATIENCE_S)) as connection:
            self._ask(connection, gateway)

    def _ask(self, connection: http.client.HTTPConnection, gateway: int) -> None:
        body = json.dumps({"placement": "home-top", "user_id": "ann"})
        while not self.is_over.is_set():
            asked_at = time.monotonic()
            try:
                connection.request("POST", "/v1/recommendations", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (OSError, http.client.HTTPException):  # it has not started yet
                connection.close()
                self.is_over.wait(0.05)
                continue
            if response.status == 503:  # nor has it a catalogue
                continue
            ids = frozenset(item["item_id"] for item in answer["items"])
            self.shown.append(Shown(asked_at, time.monotonic(), gateway, answer["fallback"], ids))
            self.is_over.wait(0.005)

    def __enter__(self) -> Cluster:
        for shopper in self.shoppers:
            shopper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        for shopper in self.shoppers:
            shopper.join()
        for pod in [*self.recommenders, *self.gateways]:
            pod.stop()

    def hide(self, item_id: str, gateway: int) -> float:
        """Returns when the gateway said that it is hidden."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[gateway], timeout=PATIENCE_S)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection.request("PATCH", f"/admin/v1/items/{item_id}", json.dumps({"hidden": True}), headers)
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["hidden"]) == (200, True)
        connection.close()
        return time.monotonic()

    def ranked(self, n: int) -> bool:
        """Whether the recommender has ranked a slate."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics[n]}/metrics", timeout=5.0) as answer:
                return b"omakase_recommender_slates_total{" in answer.read()
        except OSError:
            return False

    def has_shown(self, after: float, item_id: str | None, *, fallback: bool) -> bool:
        """Whether each gateway has, by a slate of that kind that was asked for after a time; of any item if None."""
        found = [
            one.gateway
            for one in self.shown.copy()
            if one.asked_at > after and one.is_fallback is fallback and (item_id is None or item_id in one.item_ids)
        ]
        return set(found) == {0, 1}


@pytest.fixture
def topic() -> str:
    PUBSUB.address()
    path = topic_path(f"{cloud.PROJECT}/{cloud.fresh_name()}")
    Topic(path).ensure()
    return path


@pytest.fixture
def cluster(tmp_path: Path, topic: str) -> Iterator[Cluster]:
    catalogue = f"{cloud.catalogue(tmp_path)}?announcements={cloud.PROJECT}/{topic.rpartition('/')[2]}"
    open_catalogue_store(catalogue).put([Item(item_id, {"price": 1.0}) for item_id in ITEMS])
    with ExitStack() as stack:
        tracking = stack.enter_context(Tracking())
        yield stack.enter_context(Cluster(tmp_path, catalogue, tracking.target))


@pytest.mark.cluster
def test_an_item_hidden_through_one_gateway_is_gone_from_every_pod_within_two_seconds(
    cluster: Cluster, topic: str
) -> None:
    until(lambda: cluster.has_shown(0.0, "i3", fallback=False), "both gateways show what the recommenders rank")
    until(lambda: cluster.ranked(0) and cluster.ranked(1), "both recommenders rank")
    first_at = cluster.hide("i3", gateway=0)
    _watch(cluster, first_at, "i3", fallback=False)
    for recommender in cluster.recommenders:
        recommender.stop()
    until(lambda: cluster.has_shown(time.monotonic() - 1, "i1", fallback=True), "both gateways show fallbacks")
    _watch(cluster, cluster.hide("i1", gateway=1), "i1", fallback=True)
    publisher().delete_topic(topic=topic)
    _watch(cluster, cluster.hide("i2", gateway=1), "i2", fallback=True)
    assert not [one for one in cluster.shown if one.shown_at > first_at + GONE_S and "i3" in one.item_ids]


def _watch(cluster: Cluster, hidden_at: float, item_id: str, *, fallback: bool) -> None:
    """The slates that come, those that were asked for before included."""
    until(lambda: time.monotonic() > hidden_at + GONE_S + WATCHED_S, "the time is over")
    assert cluster.has_shown(hidden_at + GONE_S, None, fallback=fallback)
    last = {
        gateway: max(
            (one.shown_at - hidden_at for one in cluster.shown if one.gateway == gateway and item_id in one.item_ids),
            default=0.0,
        )
        for gateway in (0, 1)
    }
    print(f"{item_id}, {'fallbacks' if fallback else 'slates'}: last shown after {last[0]:.2f} s and {last[1]:.2f} s")
    assert max(last.values()) < GONE_S
