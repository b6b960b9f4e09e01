"""Ports: order lines that wait to be attributed, and what became of those that were."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from omakase.core.ids import NOBODY, Pseudonym, RequestId


@dataclass(frozen=True, slots=True)
class Order:
    """One line of an order, or the return of one, as it was accepted.

    `line` is 16 bytes that name order and item: a line told twice has one name and two receipts. Units: received_at
    (the server's clock) and occurred_at (the shop's) in Unix seconds; value in the shop's currency, None for a return
    of everything.
    """

    receipt_id: bytes
    line: bytes
    type: str
    people: tuple[Pseudonym, ...]
    item_id: str
    value: float | None
    occurred_at: float
    received_at: float


@dataclass(frozen=True, slots=True)
class Credit:
    """The delivery that an order line was attributed to, with what reports need to know of it.

    A `position` of 0 says that there was none; then the other facts are empty. Units: received_at (the order's) and
    served_at in Unix seconds.
    """

    line: bytes
    received_at: float
    request_id: RequestId
    position: int
    served_at: float = 0.0
    placement: str = ""
    variant: str = ""
    policy: str = ""
    unit: Pseudonym = NOBODY
    item_id: str = ""


class Orders(Protocol):
    """Accepted order lines on their way to the bus. Guarantees: what `keep` returned from survives every process."""

    def keep(self, orders: Sequence[Order]) -> None:
        """Keep order lines, all or none. Idempotent by receipt id. Raises: Unavailable."""

    def due(self, received_before: float, limit: int) -> list[Order]:
        """Lines received before that time, oldest first. Raises: Unavailable."""

    def release(self, receipt_ids: Iterable[bytes]) -> None:
        """Forget lines that were published. Idempotent. Raises: Unavailable."""

    def waiting(self) -> int:
        """How many lines wait. Raises: Unavailable."""

    def forget(self, people: Collection[Pseudonym]) -> int:
        """Make the waiting lines of these people nobody's. Returns how many. Raises: Unavailable."""


class Credits(Protocol):
    """What order lines were attributed to: a line told again, or returned, goes where it went the first time."""

    def put(self, credits: Sequence[Credit]) -> None:
        """Keep credits, all or none. Idempotent by line: the first one stays. Raises: Unavailable."""

    def find(self, lines: Iterable[bytes]) -> Mapping[bytes, Credit]:
        """The credits of those that are known. Raises: Unavailable."""

    def expire(self, received_before: float) -> int:
        """Forget some credits of orders received before that time. Returns how many; 0: none are left."""

    def forget(self, people: Collection[Pseudonym]) -> int:
        """Make the credits of these people nobody's. Returns how many. Raises: Unavailable."""
