"""Topics and subscriptions as declared, made and mended at Pub/Sub."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core.grpc_helpers import wrap_errors
from google.pubsub_v1.types import PullRequest

from omakase.adapters.gcp.pubsub.clients import publisher, subscriber
from omakase.cloud.topics import Subscription, Topic, bus_resources, dead_letter_topic
from omakase.core.errors import InvalidInput
from tests.counterparts import PUBSUB
from tests.counterparts.cloud import PROJECT, fresh_name
from tests.counterparts.grpc_faults import faulty
from tests.integration.stage import until


@pytest.fixture
def topic() -> str:
    PUBSUB.address()
    return f"projects/{PROJECT}/topics/{fresh_name()}"


@pytest.fixture
def subscription(topic: str) -> Subscription:
    Topic(topic).ensure()
    return Subscription(topic.replace("/topics/", "/subscriptions/"), topic)


def test_the_bus_comes_with_its_dead_letters_and_a_subscription_per_reader(topic):
    log, stream = f"{fresh_name()}-log", f"{fresh_name()}-stream"
    resources = bus_resources(topic, log=log, stream=stream)
    differences = [resource.difference() for resource in resources]
    assert all(difference is not None and difference.startswith("create") for difference in differences)
    for resource in resources:
        resource.ensure()
    assert [resource.difference() for resource in resources] == [None] * len(resources)
    with publisher() as client:
        attached = set(client.list_topic_subscriptions(topic=topic))
        dead = set(client.list_topic_subscriptions(topic=dead_letter_topic(topic)))
    place = topic.partition("/topics/")[0]
    assert attached == {f"{place}/subscriptions/{log}", f"{place}/subscriptions/{stream}"}
    assert dead == {dead_letter_topic(topic).replace("/topics/", "/subscriptions/")}


def test_what_is_there_may_be_made_again_also_by_several_at_once(subscription):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: (Topic(subscription.topic).ensure(), subscription.ensure()), range(8)))
    assert subscription.difference() is None


def test_a_difference_names_what_was_changed_by_hand_and_is_mended(subscription):
    Subscription(subscription.path, subscription.topic, ack_deadline_s=30, retention_s=3600).ensure()
    difference = subscription.difference()
    assert "ack_deadline_seconds 60 instead of 30" in difference
    assert "message_retention_duration seconds: 604800 instead of seconds: 3600" in difference
    subscription.ensure()
    assert subscription.difference() is None


def test_a_topic_that_keeps_what_was_acknowledged_is_told_not_to(subscription, monkeypatch):
    topic = Topic(subscription.topic)
    with publisher() as client:
        kept = {"name": topic.path, "message_retention_duration": {"seconds": 700}}
        client.update_topic(request={"topic": kept, "update_mask": {"paths": ["message_retention_duration"]}})
    assert topic.difference() == "keep nothing that is acknowledged, instead of 700 s"
    with faulty(PUBSUB.address()) as (address, faults):
        monkeypatch.setenv(PUBSUB.variable, address)
        topic.ensure()
        # Not what is there then: Google's emulator takes nothing for its default of 31 days.
        assert faults.calls["UpdateTopic"] == 1


def test_a_subscription_to_something_else_is_refused(subscription):
    subscription.ensure()
    other = Topic(f"{subscription.topic}-other")
    other.ensure()
    with pytest.raises(InvalidInput, match="delete it"):
        Subscription(subscription.path, other.path).ensure()


def test_what_is_handed_out_too_often_becomes_a_dead_letter(subscription):
    dead = Topic(dead_letter_topic(subscription.topic))
    letters = Subscription(dead.path.replace("/topics/", "/subscriptions/"), dead.path)
    strict = Subscription(subscription.path, subscription.topic, dead_letters=dead.path, max_attempts=5)
    for resource in (dead, letters, strict):
        resource.ensure()
    with publisher() as client:
        client.publish(request={"topic": subscription.topic, "messages": [{"data": b"not ours"}]})
    found: list[bytes] = []
    with subscriber() as client:

        def is_dead() -> bool:
            for received in _pull(client, strict):
                refused = {"subscription": strict.path, "ack_ids": [received.ack_id], "ack_deadline_seconds": 0}
                client.modify_ack_deadline(request=refused)
            found.extend(received.message.data for received in _pull(client, letters))
            return bool(found)

        until(is_dead, "it is handed out five times")
    assert found == [b"not ours"]


def _pull(client, subscription):
    asked = PullRequest(subscription=subscription.path, max_messages=1, return_immediately=True)
    return wrap_errors(client.transport.pull)(asked).received_messages
