"""Clients of Pub/Sub, and the names of what is there."""

from __future__ import annotations

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

from omakase.adapters.gcp.credentials import credentials_for
from omakase.core.errors import InvalidInput

EMULATOR = "PUBSUB_EMULATOR_HOST"

_PASSING = if_exception_type(
    Aborted, Cancelled, DeadlineExceeded, InternalServerError, ResourceExhausted, ServiceUnavailable, Unknown
)


def publisher() -> PublisherClient:
    """A client that publishes when it is told to: what we publish comes in batches, so nothing is gathered first."""
    return PublisherClient(credentials=credentials_for(EMULATOR))


def subscriber() -> SubscriberClient:
    return SubscriberClient(credentials=credentials_for(EMULATOR))


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
