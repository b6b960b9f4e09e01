"""Clients of Pub/Sub, and the names of what is there."""

from __future__ import annotations

import os

import grpc
from google.api_core.exceptions import (
    Aborted,
    Cancelled,
    DeadlineExceeded,
    InternalServerError,
    ResourceExhausted,
    ServiceUnavailable,
    Unknown,
)
from google.api_core.retry import Retry, if_exception_type
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from omakase.core.errors import InvalidInput

EMULATOR = "PUBSUB_EMULATOR_HOST"

# Of subscriptions that are pulled into a journal: keeping takes milliseconds, and what a death interrupts should come
# again soon. It is the least that Pub/Sub allows.
ACK_DEADLINE_S = 10

_PASSING = if_exception_type(
    Aborted, Cancelled, DeadlineExceeded, InternalServerError, ResourceExhausted, ServiceUnavailable, Unknown
)


def publisher() -> PublisherClient:
    """A client that publishes when it is told to: what we publish comes in batches, so nothing is gathered first."""
    if channel := _emulator():
        return PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    return PublisherClient()


def subscriber() -> SubscriberClient:
    if channel := _emulator():
        return SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
    return SubscriberClient()


def _emulator() -> grpc.Channel | None:
    """Where one is named: the client's own channel to it refuses answers over 4 MB, other than that to Google."""
    address = os.environ.get(EMULATOR)
    return grpc.insecure_channel(address, [("grpc.max_receive_message_length", -1)]) if address else None


def patient(for_s: float) -> Retry:
    """Repeat what failed and may pass, also what may have been done, with exponential, jittered waits: `for_s` long."""
    return Retry(predicate=_PASSING, initial=0.1, multiplier=2.0, maximum=5.0, timeout=for_s)


def topic_path(place: str) -> str:
    """What Pub/Sub calls the topic at `PROJECT/TOPIC`. Raises: InvalidInput."""
    project, _, topic = place.partition("/")
    if not project or not topic or "/" in topic:
        raise InvalidInput(f"{place!r} is no topic: write PROJECT/TOPIC")
    return f"projects/{project}/topics/{topic}"


def subscription_path(topic: str, name: str) -> str:
    """What Pub/Sub calls that subscription, in the project of a topic given by its path."""
    return f"{topic.partition('/topics/')[0]}/subscriptions/{name}"
