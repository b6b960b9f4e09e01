"""A subscription pulled into something that keeps what it is given."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.api_core.grpc_helpers import wrap_errors
from google.pubsub_v1.types import PullRequest, PullResponse

from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.gcp.pubsub.bus_messages import disclose
from omakase.adapters.gcp.pubsub.clients import ACK_DEADLINE_S, subscriber
from omakase.adapters.local.files import disk_errors, locked
from omakase.core.errors import Corrupt, Unavailable
from omakase.ports.event_bus import Message

log = logging.getLogger(__name__)

_MOST = 1_000  # what Pub/Sub hands out at once
_ANSWER_S = 5.0
_LEASE_S = _ANSWER_S + ACK_DEADLINE_S  # from when a pull begins until nobody can have what it was handed
_LOOK_AGAIN_S = 0.2
_SKEW_S = 0.1  # between Google's clocks and ours


class Subscription:
    """One subscription, which the processes of one machine pull in turns.

    What Pub/Sub has handed out it hands out again only after the acknowledgement deadline, if whoever got it dies. So
    the one who pulls notes in a file until when that may be, and strikes it out when everything is kept; who finds such
    a note believes a pull that finds nothing only after that time. A death may thus delay readers by the deadline, and
    never hides from them what was published before.
    """

    def __init__(self, path: str, note: Path) -> None:
        """`path` is Pub/Sub's own. `note` is a file, locked by who pulls. Raises: InvalidInput without credentials."""
        self._path = path
        self._note = note
        with cloud_errors(f"pull {path}"):
            self._client = subscriber()
        # Not the client's own method: it warns of `return_immediately`, see `_pull`.
        self._ask = wrap_errors(self._client.transport.pull)

    def collect(self, keep: Callable[[Sequence[Message]], None], until: float) -> bool:
        """Hand what one pull finds to `keep`, in the order of publication, and acknowledge it once it is kept.

        Returns whether there may be more that was published by `until`: call it until there is not. What is no bus
        message is not acknowledged, so that it ends as Pub/Sub's dead letter. Raises: Unavailable; what `keep` raises,
        then all of it will come again. Cost: a pull, of 1,000 messages at most, and an acknowledgement if there is any.
        """
        with disk_errors(f"lock {self._note}"), locked(self._note):
            lost_until = self._lost_until()
            found = self._pull()
            while not found and time.time() < lost_until:
                time.sleep(_LOOK_AGAIN_S)
                found = self._pull()
            found = sorted(found, key=_published)
            ack_ids = _keep(found, keep)
            self._write(lost_until if time.time() < lost_until else 0.0)
        self._acknowledge(ack_ids)
        return bool(found) and _published(found[0])[0] <= (until + _SKEW_S) * 1e9

    def _pull(self) -> Sequence[Any]:
        self._write(time.time() + _LEASE_S)
        # Google would rather have pulls that wait. But one that is given up may just have been handed something, which
        # then nobody has until the deadline: readers that look every second would lose some of a trickle that way.
        request = PullRequest.wrap(
            PullRequest.pb()(subscription=self._path, max_messages=_MOST, return_immediately=True)
        )
        metadata = [to_grpc_metadata([("subscription", self._path)])]
        with cloud_errors(f"pull {self._path}"):
            answer = self._ask(request, timeout=_ANSWER_S, metadata=metadata)
        return PullResponse.pb(answer).received_messages  # type: ignore[no-any-return]

    def _lost_until(self) -> float:
        """As noted; the longest that it may be where a loss of power has left something else in the file."""
        longest = time.time() + _LEASE_S
        try:
            return min(float(self._note.read_bytes() or 0.0), longest)
        except ValueError:
            return longest

    def _write(self, lost_until: float) -> None:
        """Over what is there, in one write: a death must not leave it empty."""
        with self._note.open("r+") as note:
            note.write(f"{lost_until:<24}")

    def _acknowledge(self, ack_ids: Sequence[str]) -> None:
        if not ack_ids:
            return
        request = {"subscription": self._path, "ack_ids": ack_ids}
        try:
            with cloud_errors(f"acknowledge {len(ack_ids)} messages"):
                self._client.acknowledge(request=request, retry=None, timeout=_ANSWER_S)
        except Unavailable as error:
            log.warning("what is kept of %s will come once more: %s", self._path, error)


def _keep(found: Sequence[Any], keep: Callable[[Sequence[Message]], None]) -> list[str]:
    """Returns by which ids to acknowledge what is kept."""
    messages, ack_ids = [], []
    for received in found:
        try:
            messages.append(disclose(received.message))
            ack_ids.append(received.ack_id)
        except Corrupt as error:
            log.error("left to become a dead letter: %s", error)
    if messages:
        keep(messages)
    return ack_ids


def _published(received: Any) -> tuple[int, int, str]:
    """Sorts by when Pub/Sub took it; within one moment by its own numbers, which have not always as many digits."""
    message = received.message
    return message.publish_time.ToNanoseconds(), len(message.message_id), message.message_id
