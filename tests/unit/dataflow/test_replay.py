"""Dead letters of the streaming job, published again on a real topic."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataflow.job import dead_letter
from dataflow.replay import replay
from omakase.adapters import open_event_log
from omakase.adapters.gcp.pubsub.clients import publisher, subscription_path, topic_path
from omakase.adapters.uri import Uri
from omakase.cloud.topics import Subscription, Topic, dead_letter_topic
from omakase.ports.event_bus import EventLog
from omakase.wire import bus_body
from tests.counterparts import cloud
from tests.unit.dataflow.test_streaming import event, slate

NOW = 1_760_000_500.0
CLICK, SLATE = bus_body(event("click", 1)), bus_body(slate(1, 3))


class Post:
    """A topic, its dead letters, and a log that reads the topic."""

    def __init__(self, directory: Path) -> None:
        self.bus = cloud.pubsub(directory)
        topic = topic_path(Uri.parse(self.bus).location)
        self._dead = dead_letter_topic(topic)
        Topic(self._dead).ensure()
        Subscription(subscription_path(topic, self._dead.rpartition("/")[2]), self._dead, ack_deadline_s=10).ensure()
        self.log: EventLog = open_event_log(self.bus)

    def set_aside(self, body: bytes, reason: str) -> None:
        letter = dead_letter((body, reason, "told"))
        with publisher() as client:
            client.publish(topic=self._dead, messages=[{"data": letter.data, "attributes": letter.attributes}])

    def published(self) -> list[tuple[bytes, str, int, float]]:
        messages = [logged.message for logged in self.log.read(0, 100)]
        return [(message.body, message.kind, message.units, message.at) for message in messages]


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def test_letters_are_published_again_once_and_stand_for_nothing(post: Post) -> None:
    for body in (CLICK, SLATE, b"\xff\xff"):
        post.set_aside(body, "undecodable")
    assert replay(post.bus, NOW) == 3
    wanted = [(CLICK, "events", 0, NOW), (SLATE, "deliveries", 0, NOW), (b"\xff\xff", "events", 0, NOW)]
    assert sorted(post.published()) == sorted(wanted)
    assert replay(post.bus, NOW) == 0


def test_letters_of_other_reasons_stay(post: Post) -> None:
    post.set_aside(CLICK, "features")
    assert replay(post.bus, NOW, "undecodable") == 0
    assert post.published() == []


def test_a_letter_that_is_replayed_again_is_the_same_message(post: Post) -> None:
    for _ in range(2):
        post.set_aside(CLICK, "features")
        assert replay(post.bus, NOW) == 1
    assert len(post.published()) == 1
