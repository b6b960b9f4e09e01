"""Port: who saw and clicked which items, for the orders that come without a delivery ID."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from omakase.core.ids import Pseudonym, RequestId


class Touched(NamedTuple):
    """One item of a slate that somebody saw or, with `is_click`, clicked."""

    position: int
    item_id: str
    is_click: bool


@dataclass(frozen=True, slots=True)
class Touch:
    """What one person did with one slate at one moment, and what reports need to know of that slate.

    Units: at (the server's receipt) and served_at in Unix seconds. `unit` and `user` are empty where nobody is known,
    and `user` is where it is the unit.
    """

    request_id: RequestId
    at: float
    unit: Pseudonym
    user: Pseudonym
    served_at: float
    placement: str
    variant: str
    policy: str
    items: tuple[Touched, ...]


class Touches(Protocol):
    """Touches by person, for as long as an order may be attributed to one."""

    def note(self, touches: Sequence[Touch]) -> None:
        """Keep touches, all or none; those of nobody are passed over. Raises: Unavailable.

        Guarantees: they survive the death of every process. A touch noted twice is there twice, which changes nothing.
        """

    def of(self, people: Collection[Pseudonym], since: float, until: float, limit: int) -> list[Touch]:
        """The `limit` newest touches of any of these people, by `unit` or by `user`, at least `since` and at most
        `until`; newest first. Raises: Unavailable. Cost: what it returns, however many are kept.
        """

    def expire(self, before: float) -> int:
        """Forget some touches before that time. Returns how many; 0: none are left. Raises: Unavailable."""

    def forget(self, people: Collection[Pseudonym]) -> int:
        """Forget all touches of these people. Returns how many. Raises: Unavailable."""
