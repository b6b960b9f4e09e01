"""The event bus on Pub/Sub."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from google.api_core.timeout import ConstantTimeout
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.types import PublishRequest

from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.gcp.pubsub.bus_messages import enclose
from omakase.adapters.gcp.pubsub.clients import patient, publisher, topic_path
from omakase.adapters.uri import Uri
from omakase.ports.event_bus import Message

LOG_OPTIONS = ("subscription", "journal", "durability")  # of the log on the same topic

_MAX_MESSAGES = 1_000  # what Pub/Sub takes at once
_MAX_REQUEST_BYTES = 4_000_000  # of 10 MB; what a server of gRPC takes where nothing else is said
_ENVELOPE_BYTES = 500  # attributes and framing, amply
# Together less than tracking waits for its store, so that it hears of a failure before it gives up by itself.
_ANSWER_S = 3.0
_PATIENCE_S = 6.0

_Request = PublishRequest.pb()


class PubSubEventBus:
    """EventBus.

    What is published in one call goes out at once, in as few requests as Pub/Sub takes, one after the other; so a call
    is what bounds how much is on its way. Idempotent by key as far as consumers are: a repeated call puts its messages
    on the topic again, and whoever reads drops those whose keys it knows. Of a call that fails some requests may have
    succeeded; each is taken whole or not at all.
    """

    def __init__(self, topic: str, answer_s: float = _ANSWER_S, patience_s: float = _PATIENCE_S) -> None:
        """`topic` is Pub/Sub's own path of it. Raises: InvalidInput without credentials.

        An answer that has not come after `answer_s` is not waited for; what may pass is retried for `patience_s`.
        """
        self._topic = topic
        self._answer_s = answer_s
        self._patience_s = patience_s
        with cloud_errors(f"publish to {topic}"):
            self._client: PublisherClient = publisher()

    @classmethod
    def from_uri(cls, uri: Uri) -> PubSubEventBus:
        """`pubsub:PROJECT/TOPIC`; the log's options may be there too."""
        uri.only(*LOG_OPTIONS)
        return cls(topic_path(uri.location))

    def publish(self, messages: Sequence[Message]) -> None:
        """See EventBus. Raises: InvalidInput for more than 9 MB in one message; then nothing is published.

        Cost: a round trip per 1,000 messages or 4 MB.
        """
        bare = [enclose(message) for message in messages]
        deadline = time.monotonic() + self._patience_s
        for part in _parts(bare):
            retry = patient(max(0.0, deadline - time.monotonic()))
            request = PublishRequest.wrap(_Request(topic=self._topic, messages=part))
            with cloud_errors(f"publish to {self._topic}"):
                self._client.publish(request=request, retry=retry, timeout=ConstantTimeout(self._answer_s))


def _parts(bare: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """In order, as many at a time as fit in a request."""
    start = size = 0
    for end, message in enumerate(bare):
        bytes_more = len(message.data) + _ENVELOPE_BYTES
        if end > start and (end - start == _MAX_MESSAGES or size + bytes_more > _MAX_REQUEST_BYTES):
            yield bare[start:end]
            start, size = end, 0
        size += bytes_more
    if start < len(bare):
        yield bare[start:]
