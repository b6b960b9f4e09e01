"""The streaming assembly end to end: what the real tracking server publishes on Pub/Sub ends as a model in a bucket
that the real recommender serves."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from dataflow.job import Job
from dataflow.launch import job_of
from omakase import models
from omakase.adapters import open_model_store, open_warehouse
from omakase.adapters.gcp.pubsub.bus_messages import enclose
from omakase.adapters.gcp.pubsub.clients import publisher, subscriber, subscription_path, topic_path
from omakase.adapters.uri import Uri
from omakase.cloud.topics import Subscription, Topic, dead_letter_topic
from omakase.config import load_product
from omakase.ports.event_bus import Message
from omakase.settings import RecommenderSettings, StreamingSettings, TrackingSettings
from omakase.v1 import recommender_pb2 as pb
from omakase.wire import is_propensities
from tests.counterparts import cloud
from tests.integration.asking import Asking, items_of
from tests.integration.draining import Drain, run
from tests.integration.stage import KEYS, PRODUCT, Shop, Visitor, free_port, until
from tests.integration.test_two_pods import Pod

SLATES = 20
RUBBISH = b"\xff\xff"
OF_STATES = "SELECT side, state, sum(count) AS count FROM tallies GROUP BY side, state"


@dataclass
class Town:
    """Tracking and a recommender as processes, between them and the job nothing but the cloud's services."""

    directory: Path
    running: ExitStack
    events: int = 0
    clicks: int = 0

    def __post_init__(self) -> None:
        self.bus = cloud.pubsub(self.directory)
        self.models = cloud.models(self.directory)
        self.warehouse = cloud.warehouse(self.directory)
        (self.directory / "product.yaml").write_text(PRODUCT)
        (self.directory / "keys.yaml").write_text(KEYS)
        (self.directory / "keys.yaml").chmod(0o600)
        self.shop = Shop(self.directory)
        self.shop.stock()
        self.settings = StreamingSettings(
            config=str(self.directory / "product.yaml"), bus=self.bus, models=self.models, warehouse=self.warehouse
        )
        self.visitor = Visitor(free_port())
        self._start_tracking(f"127.0.0.1:{free_port()}")

    def _start_tracking(self, target: str) -> None:
        common = {"config": self.settings.config, "keys": str(self.directory / "keys.yaml")}
        contexts = f"sqlite:{self.directory / 'contexts.db'}"
        tracking = TrackingSettings(
            **common,
            http_address=f"127.0.0.1:{self.visitor.port}",
            grpc_address=target,
            bus=self.bus,
            deliveries=f"sqlite:{self.directory / 'deliveries.db'}",
            contexts=contexts,
        )
        self.address = f"127.0.0.1:{free_port()}"
        recommender = RecommenderSettings(
            **common,
            grpc_address=self.address,
            catalogue=f"sqlite:{self.directory / 'catalogue.db'}",
            models=self.models,
            contexts=contexts,
            spool=f"spool:{self.directory / 'spool'}",
            tracking=target,
            poll_s=0.05,
        )
        for module, settings in (("tracking", tracking), ("recommender", recommender)):
            self.running.callback(Pod(module, settings).stop)
        channel = self.running.enter_context(grpc.insecure_channel(self.address))
        grpc.channel_ready_future(channel).result(30.0)
        self.ask = Asking(channel)
        until(self.visitor.is_welcome, "tracking is ready")

    def slate(self) -> pb.RecommendResponse:
        return self.ask(
            pb.RecommendRequest(placement="home-top", variant="learnt", policy="thompson", model="clicks", limit=3)
        )

    def shop_around(self) -> None:
        """People see every item of their slates, and click what is red."""
        for _ in range(SLATES):
            items = items_of(self.slate())
            red = [item for item in items if int(item.item_id[1:]) % 2]
            events = [{"delivery_id": item.delivery_id, "type": "impression"} for item in items]
            events += [{"delivery_id": item.delivery_id, "type": "click"} for item in red]
            self.events += len(events)
            self.clicks += len(red)
            status, _, body = self.visitor.send("POST", "/v1/events", json.dumps({"events": events}).encode())
            assert (status, json.loads(body)["accepted"]) == (202, len(events))

    def job(self) -> Job:
        return job_of(self.settings, load_product(Path(self.settings.config)))


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with ExitStack() as running:
        yield Town(tmp_path, running)


def dead_letters_of(topic: str) -> str:
    """A subscription to them."""
    dead = dead_letter_topic(topic)
    path = subscription_path(topic, dead.rpartition("/")[2])
    Topic(dead).ensure()
    Subscription(path, dead).ensure()
    return path


@pytest.mark.cluster
def test_what_tracking_publishes_ends_as_a_model_that_the_recommender_serves(town: Town) -> None:
    topic, options = topic_path(Uri.parse(town.bus).location), Uri.parse(town.bus).options
    letters = dead_letters_of(topic)
    with publisher() as client:
        client.publish(topic=topic, messages=[enclose(Message(bytes(16), 1_800_000_000.0, RUBBISH))])
    assert town.slate().model_version.endswith("@0")
    town.shop_around()
    job, drain = town.job(), Drain(subscription_path(topic, options["subscription"]))
    messages: list[tuple[float, bytes]] = []

    def is_all_there() -> bool:
        messages.extend(drain.pull(job.key, job.received_at))
        learnt_from = [body for _, body in messages if body == RUBBISH or not is_propensities(body)]
        return len(learnt_from) == 2 + SLATES + town.events

    until(is_all_there, "tracking has published everything")
    run(job, [(math.inf, messages)])
    drain.acknowledge()

    until(lambda: town.slate().model_version.endswith("@1"), "the recommender serves what was learnt")
    (published,) = models.survey(open_model_store(town.models))
    assert isinstance(published, models.Published)
    assert published.snapshot.statistics.examples == 3 * SLATES
    assert published.snapshot.statistics.outcomes["click"].energy == town.clicks
    assert all(int(items_of(town.slate())[0].item_id[1:]) % 2 for _ in range(5)), "what was clicked comes first"
    warehouse = open_warehouse(town.warehouse)
    found = {(row["side"], row["state"]): row["count"] for row in warehouse.query(OF_STATES)}
    assert found == {
        ("deliveries", "served"): 3 * (1 + SLATES),
        ("deliveries", "unseen"): 3,
        ("deliveries", "learnt"): town.clicks,
        ("deliveries", "learnt_without_click"): 3 * SLATES - town.clicks,
        ("events", "received"): town.events + 1,
        ("events", "used"): town.events,
        ("events", "rejected"): 1,
    }
    for table, count in {"deliveries": 3 * (1 + SLATES), "events": town.events, "examples": 3 * SLATES}.items():
        assert warehouse.query(f"SELECT count(*) AS count FROM {table}") == [{"count": count}]
    with subscriber() as client:
        (letter,) = client.pull(subscription=letters, max_messages=10, timeout=10.0).received_messages
    assert (letter.message.data, letter.message.attributes["reason"]) == (RUBBISH, "undecodable")
