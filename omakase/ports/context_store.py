"""Port: what is known of a person before the request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from omakase.core.ids import Pseudonym, RequestId
from omakase.core.values import Facts


class Click(NamedTuple):
    """A person clicked an item of a delivery. Units: at, the server's receipt, in Unix seconds."""

    person: Pseudonym
    request_id: RequestId
    position: int
    item_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Known:
    """One person: the facts that the shop imported, and the items that were clicked last, newest last."""

    facts: Facts = field(default_factory=dict)
    clicked: tuple[str, ...] = ()


class ContextStore(Protocol):
    """Facts and last clicks by pseudonym; never a raw id. Neither touches the other."""

    def get(self, person: Pseudonym) -> Known | None:
        """All of one person, or None if nothing is known. On the request path: under a millisecond.

        Raises: Unavailable, Corrupt.
        """

    def put(self, contexts: Iterable[tuple[Pseudonym, Facts]]) -> int:
        """Replace the facts of each person, all or none. Returns how many. Raises: Unavailable."""

    def note(self, clicks: Sequence[Click]) -> None:
        """Keep each person's `MAX_RECENT` last clicks, all or none. Raises: Unavailable.

        Guarantees: a delivery counts once, when it was first noted, so that noting again changes nothing.
        """

    def expire(self, before: float) -> int:
        """Forget some clicks before that time. Returns how many; 0: none are left. Raises: Unavailable."""

    def forget(self, person: Pseudonym) -> None:
        """Drop a person. Idempotent. Raises: Unavailable."""
