"""Word that something has changed, to every process that cares, over a Pub/Sub topic."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import grpc
from google.api_core.exceptions import AlreadyExists, GoogleAPIError
from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.api_core.retry import exponential_sleep_generator
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import StreamingPullRequest

from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.gcp.pubsub.clients import (
    ACK_DEADLINE_S,
    patient,
    publisher,
    subscriber,
    subscription_path,
    topic_path,
)

log = logging.getLogger(__name__)

_ANSWER_S = 5.0
_DAY_S = 86_400  # the least that Pub/Sub allows before it drops a subscription that nobody pulls
_RETENTION_S = 600  # the least that Pub/Sub allows
_STREAM_S = 600.0  # then it is opened anew: a peer that fell silent is not waited for any longer
_HEALTHY_S = 60.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 30.0


class Announcements:
    """Short texts, told at once to every process that follows. Nothing is started before it is used."""

    def __init__(self, place: str) -> None:
        """`place` is PROJECT/TOPIC. Raises: InvalidInput."""
        self._topic = topic_path(place)
        self._client: PublisherClient | None = None

    def announce(self, text: str) -> None:
        """When it returns, every follower will be told. Raises: Unavailable. Cost: one round trip."""
        with cloud_errors(f"announce on {self._topic}"):
            if self._client is None:
                self._client = publisher()
            self._client.publish(
                request={"topic": self._topic, "messages": [{"data": text.encode()}]},
                retry=patient(_ANSWER_S),
                timeout=_ANSWER_S,
            )

    def follow(self, on_announced: Callable[[str], None]) -> Following:
        """Call `on_announced` with each text from now on, one call at a time, on a thread of its own.

        Guarantees: it returns at once, also while Pub/Sub is away; a stream that is lost is opened again. Whenever
        something may have been missed, first of all when it starts, the text is empty: look for yourself. A text may
        come more than once. What `on_announced` raises is logged.
        """
        return Following(self._topic, on_announced)


class Following:
    """A subscription of this process alone, pulled until it is closed.

    Not by the library's `subscribe`: a stream that fails twice in a row it may replace by two, of which it reads one,
    and what Pub/Sub hands to the other is never heard.
    """

    def __init__(self, topic: str, on_announced: Callable[[str], None]) -> None:
        self._topic = topic
        self._subscription = subscription_path(topic, f"{topic.rpartition('/')[2]}-{uuid.uuid4().hex}")
        self._on_announced = on_announced
        self._closing = threading.Event()
        self._stream: Any = None
        self._thread = threading.Thread(target=self._run, name="announcements", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and delete the subscription; one that cannot be deleted expires within a day."""
        self._closing.set()
        if self._stream is not None:
            self._stream.cancel()
        self._thread.join()

    def _run(self) -> None:
        waits = exponential_sleep_generator(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                with subscriber() as client:
                    self._listen(client)
            except (grpc.RpcError, GoogleAPIError, GoogleAuthError) as error:
                log.warning("announcements on %s are lost, they are followed again: %s", self._topic, _said(error))
            if time.monotonic() > began + _HEALTHY_S:
                waits = exponential_sleep_generator(_FIRST_WAIT_S, _LONGEST_WAIT_S)
            self._closing.wait(next(waits))

    def _listen(self, client: SubscriberClient) -> None:
        """Until it is closed, or the stream ends. Raises: what ended the stream."""
        self._create(client)
        self._tell("")
        requests: SimpleQueue[StreamingPullRequest | None] = SimpleQueue()
        first = StreamingPullRequest(subscription=self._subscription, stream_ack_deadline_seconds=ACK_DEADLINE_S)
        requests.put(first)
        metadata = [to_grpc_metadata([("subscription", self._subscription)])]
        pull: Any = client.transport.streaming_pull
        self._stream = pull(iter(requests.get, None), timeout=_STREAM_S, metadata=metadata)
        try:
            if not self._closing.is_set():
                self._hear(self._stream, requests)
        except grpc.RpcError as error:
            if not self._closing.is_set() and error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
        finally:
            self._stream.cancel()
            requests.put(None)
        if self._closing.is_set():
            with suppress(GoogleAPIError):
                client.delete_subscription(request={"subscription": self._subscription}, retry=None, timeout=_ANSWER_S)

    def _hear(self, stream: Iterable[Any], requests: SimpleQueue[StreamingPullRequest | None]) -> None:
        for answer in stream:
            received = answer.received_messages
            requests.put(StreamingPullRequest(ack_ids=[each.ack_id for each in received]))
            for each in received:
                self._tell(each.message.data.decode(errors="replace"))

    def _create(self, client: SubscriberClient) -> None:
        wanted = {
            "name": self._subscription,
            "topic": self._topic,
            "ack_deadline_seconds": ACK_DEADLINE_S,
            "message_retention_duration": {"seconds": _RETENTION_S},
            "expiration_policy": {"ttl": {"seconds": _DAY_S}},
        }
        with suppress(AlreadyExists):
            client.create_subscription(request=wanted, retry=patient(_ANSWER_S), timeout=_ANSWER_S)

    def _tell(self, text: str) -> None:
        try:
            self._on_announced(text)
        except Exception:  # the thread must outlive it, else nothing would be heard any more
            log.exception("an announcement could not be followed")


def _said(error: Any) -> str:
    """Of gRPC's own errors only what the server said: the rest is a page."""
    return str(error.details()) if isinstance(error, grpc.RpcError) else str(error)
