"""Port: messages of the bus that the trainer could not use, kept until somebody has mended what was wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from omakase.core.accounting import DeadCount
from omakase.ports.event_bus import Kind


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the bus, and why it was set aside: `reason` is one of those of `omakase.core.accounting`.

    `key` is the message's. Units: received_at in Unix seconds; `units` is how many deliveries or events it stands for,
    each of which ended as `rejected`.
    """

    key: bytes
    kind: Kind
    units: int
    received_at: float
    body: bytes
    reason: str
    detail: str

    @property
    def next_key(self) -> bytes:
        """The key under which it is published again: whoever repeats a replay publishes nothing twice."""
        return blake2b(self.key, digest_size=16, person=b"dead letter").digest()


class DeadLetters(Protocol):
    """Letters come with a trainer's tick, and go with the tick that reads what was published again in their place.

    So a letter counts until the very moment in which its replay does, whoever dies in between.
    """

    def read(self, reason: str | None = None) -> Iterator[DeadLetter]:
        """All letters, or those of one reason, the newest first. Raises: Unavailable."""

    def find(self, key: bytes) -> DeadLetter | None:
        """One letter. Raises: Unavailable."""

    def counts(self) -> Sequence[DeadCount]:
        """By kind and reason, dropped letters included. Raises: Unavailable."""

    def expire(self, received_before: float) -> int:
        """Drop letters received before that time; they stay counted. Returns how many. Raises: Unavailable."""

    def rewrite(self, mentioning: Sequence[bytes], change: Callable[[bytes], bytes]) -> int:
        """Change every body that holds one of these texts; see `EventLog.rewrite`."""
