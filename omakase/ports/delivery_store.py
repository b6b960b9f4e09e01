"""Port: the delivery records that events are joined to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from omakase.core.ids import RequestId


@dataclass(frozen=True, slots=True)
class StoredSlate:
    """A slate's record as it was spooled. Units: served_at in Unix seconds."""

    request_id: RequestId
    served_at: float
    body: bytes


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that came before its delivery record. Units: received_at in Unix seconds."""

    receipt_id: bytes
    request_id: RequestId
    received_at: float
    body: bytes


class DeliveryStore(Protocol):
    """Slates by request id, for as long as rewards may come; and the events that wait for one.

    Guarantees: what `put` and `park` returned from survives the death of every process.
    """

    @property
    def expiry_s(self) -> float:
        """A record goes by itself this long after it was put; infinite where only `expire` forgets any."""

    def put(self, slates: Sequence[StoredSlate]) -> None:
        """Keep records. Idempotent by request id: the first one stays. Raises: Unavailable."""

    def find(self, request_ids: Iterable[RequestId]) -> Mapping[RequestId, bytes]:
        """The records of those that are known. Raises: Unavailable."""

    def park(self, events: Sequence[Parked]) -> None:
        """Keep events until their record comes. Idempotent by receipt id. Raises: Unavailable."""

    def parked(self, received_before: float, limit: int) -> list[Parked]:
        """Waiting events whose record has come, and those received before `received_before`; oldest first."""

    def release(self, receipt_ids: Iterable[bytes]) -> None:
        """Forget parked events that were published. Idempotent."""

    def expire(self, served_before: float) -> int:
        """Forget some records served before that time. Returns how many; 0: none are left. Raises: Unavailable."""

    def waiting(self) -> int:
        """How many events are parked."""
