"""Word that something has changed, to every process that cares, over a Pub/Sub topic."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from google.api_core.exceptions import AlreadyExists, GoogleAPIError
from google.api_core.retry import exponential_sleep_generator
from google.auth.exceptions import GoogleAuthError
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.message import Message
from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler
from google.pubsub_v1 import PublisherClient

from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.gcp.pubsub import patient, publisher, subscription_path, topic_path

log = logging.getLogger(__name__)

_ANSWER_S = 5.0
_DAY_S = 86_400  # the least that Pub/Sub allows before it drops a subscription that nobody pulls
_RETENTION_S = 600  # the least that Pub/Sub allows
_HEALTHY_S = 60.0


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
    """A subscription of this process alone, pulled until it is closed."""

    def __init__(self, topic: str, on_announced: Callable[[str], None]) -> None:
        self._topic = topic
        self._subscription = subscription_path(topic, f"{topic.rpartition('/')[2]}-{uuid.uuid4().hex}")
        self._on_announced = on_announced
        self._is_closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="announcements", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and delete the subscription; one that cannot be deleted expires within a day."""
        self._is_closing = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        waits = exponential_sleep_generator(0.2, 30.0)
        while not self._is_closing:
            began = time.monotonic()
            try:
                with pubsub_v1.SubscriberClient() as client:
                    self._listen(client)
            except (GoogleAPIError, GoogleAuthError) as error:
                log.warning("announcements on %s are lost, they are followed again: %s", self._topic, error)
            if time.monotonic() > began + _HEALTHY_S:
                waits = exponential_sleep_generator(0.2, 30.0)
            self._rest(next(waits))

    def _listen(self, client: pubsub_v1.SubscriberClient) -> None:
        """Until it is closed or the stream ends. Raises: what ended the stream."""
        self._create(client)
        self._tell("")
        stream = client.subscribe(
            self._subscription, self._heard, scheduler=ThreadScheduler(ThreadPoolExecutor(max_workers=1))
        )
        stream.add_done_callback(lambda _: self._wake.set())
        self._rest()
        stream.cancel()
        stream.result()
        with suppress(GoogleAPIError):
            client.delete_subscription(request={"subscription": self._subscription}, retry=None, timeout=_ANSWER_S)

    def _rest(self, for_s: float | None = None) -> None:
        """Until the stream ends, the time is over, or it is closed."""
        if not self._is_closing:
            self._wake.wait(for_s)
        self._wake.clear()

    def _create(self, client: pubsub_v1.SubscriberClient) -> None:
        wanted = {
            "name": self._subscription,
            "topic": self._topic,
            "message_retention_duration": {"seconds": _RETENTION_S},
            "expiration_policy": {"ttl": {"seconds": _DAY_S}},
        }
        with suppress(AlreadyExists):
            client.create_subscription(request=wanted, retry=patient(_ANSWER_S), timeout=_ANSWER_S)

    def _heard(self, message: Message) -> None:
        message.ack()
        self._tell(message.data.decode())

    def _tell(self, text: str) -> None:
        try:
            self._on_announced(text)
        except Exception:  # the thread must outlive it, else nothing would be heard any more
            log.exception("an announcement could not be followed")
