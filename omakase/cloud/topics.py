"""Topics and subscriptions of Pub/Sub."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import AlreadyExists, NotFound
from google.protobuf.message import Message as ProtoMessage
from google.protobuf.text_format import MessageToString
from google.pubsub_v1 import types

from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.gcp.pubsub.clients import ACK_DEADLINE_S, publisher, subscriber, subscription_path
from omakase.cloud.resource import Resource
from omakase.core.errors import InvalidInput

WEEK_S = 7 * 86_400  # the most that a subscription keeps what nobody acknowledged
# With the 100 attempts that Pub/Sub allows at most these make 16 hours: a reader that is ill over night loses nothing.
_BACKOFF_S = (1, 600)
_ANSWER_S = 30.0
_CREATE = "create"
_CHANGEABLE = (
    "ack_deadline_seconds",
    "message_retention_duration",
    "expiration_policy",
    "retain_acked_messages",
    "enable_exactly_once_delivery",
    "dead_letter_policy",
    "retry_policy",
)


def dead_letter_topic(topic: str) -> str:
    """Where goes what a reader of `topic` cannot use; of a name or of a path."""
    return f"{topic}-dead-letters"


def bus_resources(topic: str, *, log: str = "", stream: str = "") -> tuple[Resource, ...]:
    """The event bus on a topic given by its path, its dead letters, and a subscription per reader, given by names.

    One that nobody reads keeps a week of everything, so it is made for whom there is.
    `log` is pulled into a journal, `stream` is Dataflow's: that acknowledges what it cannot use and publishes the dead
    letter itself, and would not work well with Pub/Sub doing so.
    """
    dead = dead_letter_topic(topic)
    letters = (Topic(topic), Topic(dead), Subscription(subscription_path(topic, dead.rpartition("/")[2]), dead))
    logged = Subscription(subscription_path(topic, log), topic, ACK_DEADLINE_S, dead_letters=dead, backoff_s=_BACKOFF_S)
    streamed = Subscription(subscription_path(topic, stream), topic)
    return letters + ((logged,) if log else ()) + ((streamed,) if stream else ())


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that keeps nothing once it is acknowledged: a person who is forgotten must not live on there."""

    path: str

    @property
    def name(self) -> str:
        return f"topic {self.path}"

    def difference(self) -> str | None:
        """See Resource."""
        with cloud_errors(f"look for the {self.name}"), publisher() as client:
            try:
                found = client.get_topic(request={"topic": self.path}, timeout=_ANSWER_S)
            except NotFound:
                return _CREATE
        if found.schema_settings.schema:
            raise InvalidInput(f"the {self.name} has a schema, which no message of ours has: delete it or take another")
        kept_s = types.Topic.pb(found).message_retention_duration.seconds
        return f"keep nothing that is acknowledged, instead of {kept_s} s" if kept_s else None

    def ensure(self) -> None:
        """See Resource."""
        difference = self.difference()
        with cloud_errors(f"make the {self.name}"), publisher() as client:
            if difference == _CREATE:
                with suppress(AlreadyExists):
                    client.create_topic(request={"name": self.path}, timeout=_ANSWER_S)
            elif difference is not None:
                mask = {"paths": ["message_retention_duration"]}
                client.update_topic(request={"topic": {"name": self.path}, "update_mask": mask}, timeout=_ANSWER_S)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription that never expires and keeps what is not acknowledged, each message on its own, in no order.

    With `dead_letters`, the path of a topic, a message goes there once it was handed out `max_attempts` times;
    `backoff_s` is how long Pub/Sub waits between them, at first and at most.
    """

    path: str
    topic: str
    ack_deadline_s: int = 60
    retention_s: int = WEEK_S
    dead_letters: str = ""
    max_attempts: int = 100
    backoff_s: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        return f"subscription {self.path}"

    def difference(self) -> str | None:
        """See Resource. Raises: also InvalidInput if it is there and of another kind."""
        with cloud_errors(f"look for the {self.name}"), subscriber() as client:
            try:
                found = client.get_subscription(request={"subscription": self.path}, timeout=_ANSWER_S)
            except NotFound:
                return self._creation
        if found.topic != self.topic or found.filter or found.enable_message_ordering:
            how = (
                f"filtered by {found.filter!r}"
                if found.filter
                else "ordered"
                if found.enable_message_ordering
                else "whole"
            )
            raise InvalidInput(f"the {self.name} is there, on {found.topic} and {how}: delete it or take another name")
        changes = self._changes(found)
        return ", ".join(f"{field} {to} instead of {of}" for field, (of, to) in changes.items()) or None

    def ensure(self) -> None:
        """See Resource."""
        wanted = self._wanted()
        with cloud_errors(f"make the {self.name}"), subscriber() as client:
            if self.difference() == self._creation:
                with suppress(AlreadyExists):
                    client.create_subscription(request=wanted, timeout=_ANSWER_S)
            found = client.get_subscription(request={"subscription": self.path}, timeout=_ANSWER_S)
            if changes := self._changes(found):
                mask = {"paths": list(changes)}
                client.update_subscription(request={"subscription": wanted, "update_mask": mask}, timeout=_ANSWER_S)

    @property
    def _creation(self) -> str:
        return f"create on {self.topic}"

    def _changes(self, found: Any) -> dict[str, tuple[str, str]]:
        """The changeable fields that are not as declared: what they are, and what they should be."""
        there, wanted = types.Subscription.pb(found), types.Subscription.pb(self._wanted())
        return {
            field: (_shown(getattr(there, field)), _shown(getattr(wanted, field)))
            for field in _CHANGEABLE
            if getattr(there, field) != getattr(wanted, field)
        }

    def _wanted(self) -> Any:
        declared: dict[str, Any] = {
            "name": self.path,
            "topic": self.topic,
            "ack_deadline_seconds": self.ack_deadline_s,
            "message_retention_duration": {"seconds": self.retention_s},
            "expiration_policy": {},  # without a time to live: never
        }
        if self.dead_letters:
            policy = {"dead_letter_topic": self.dead_letters, "max_delivery_attempts": self.max_attempts}
            declared["dead_letter_policy"] = policy
        if self.backoff_s:
            least, most = ({"seconds": seconds} for seconds in self.backoff_s)
            declared["retry_policy"] = {"minimum_backoff": least, "maximum_backoff": most}
        return types.Subscription(declared)


def _shown(value: Any) -> str:
    return MessageToString(value, as_one_line=True) or "none" if isinstance(value, ProtoMessage) else str(value)
