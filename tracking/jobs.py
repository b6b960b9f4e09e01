"""What one request wants stored."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from omakase.core.errors import OmakaseError, Unavailable
from omakase.core.events import Event
from omakase.ports.delivery_store import StoredSlate
from omakase.ports.event_bus import Message

# An event's own size is bounded by its checks: what it takes in memory, and its texts at their longest.
_EVENT_BYTES = 1024


@dataclass(slots=True)
class Job:
    """What one request wants stored: events, or slates as records and as messages for the bus.

    `is_given_up` says that the request was answered before its turn came: then it is not stored. `size` counts events
    and slates, `bytes` what they hold of memory, roughly.
    """

    events: Sequence[Event] = ()
    records: Sequence[StoredSlate] = ()
    messages: Sequence[Message] = ()
    done: Future[None] = field(default_factory=Future)
    is_given_up: bool = False
    size: int = field(init=False)
    bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.events) + len(self.records)
        self.bytes = len(self.events) * _EVENT_BYTES
        self.bytes += sum(len(record.body) for record in self.records)
        self.bytes += sum(len(message.body) for message in self.messages)

    def answer(self, failure: Exception | None) -> None:
        """Let the request answer, if anybody still waits for it. What nobody foresaw is answered as Unavailable."""
        if not self.done.set_running_or_notify_cancel():
            return
        if failure is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(failure if isinstance(failure, OmakaseError) else Unavailable(str(failure)))
