"""Port: the way from tracking to everyone who learns or counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from omakase.core.events import Event

Kind: TypeAlias = Literal["deliveries", "events", "propensities", "discards"]


@dataclass(frozen=True, slots=True)
class Message:
    """One encoded slate or event, a slate's propensities, or that it is discarded.

    `key` is 16 bytes and names it: the same key published twice is one message. Units: at in Unix seconds, when
    tracking received it; `units` is how many deliveries, events, propensities or discards it stands for. `event` is
    what was encoded, where the publisher has it at hand: a bus may label the message by it, no log keeps it.
    """

    key: bytes
    at: float
    body: bytes
    kind: Kind = "events"
    units: int = 1
    event: Event | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Logged:
    """A message with its place in the log."""

    offset: int
    message: Message


class EventBus(Protocol):
    """Where tracking publishes."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Append them in order. When it returns, every message survives the death of every process.

        Guarantees: idempotent by key; of at most 1,000 messages and 4 MB all or none are appended.
        Raises: InvalidInput, then none is; Unavailable, then some may be, and the caller may repeat the whole call.
        """


class EventLog(Protocol):
    """A bus that can be read again from any offset. Offsets start at 1 and have no gaps.

    Each consumer keeps its own cursor, in the same transaction as what it made of the messages; it tells the log only
    so that nothing is dropped that somebody still wants.
    """

    def read(self, after: int, limit: int) -> list[Logged]:
        """At most `limit` messages with offsets above `after`, in order. Raises: Unavailable."""

    def last_offset(self) -> int:
        """The newest offset, 0 while the log is empty: how many messages were ever published. Raises: Unavailable."""

    def totals(self) -> Mapping[str, int]:
        """Units ever published per kind, trimmed ones included. Raises: Unavailable."""

    def acknowledge(self, consumer: str, offset: int) -> int:
        """Promise that `consumer` never reads at or below `offset` again. Idempotent; never moves back.

        Returns how far it has promised altogether: a consumer that lost its own cursor asks with 0.
        """

    def trim(self) -> int:
        """Drop what every known consumer has acknowledged, except the newest message. Returns how many were dropped."""

    def rewrite(self, mentioning: Sequence[bytes], change: Callable[[bytes], bytes]) -> int:
        """Replace every body that holds one of these texts by what `change` makes of it. Returns how many changed.

        Guarantees: idempotent if `change` is; of what a body was nothing is left where bodies are stored. Works while
        others read and publish. Raises: Unavailable; then call again. Cost: reads every body.
        """
