"""Port: what is known of a person before the request."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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

    def find(self, people: Collection[Pseudonym], within_s: float | None = None) -> Mapping[Pseudonym, Known]:
        """Of these people all of whom anything is known. Waits for a network at most `within_s`, or a time of its own.

        Guarantees: what this object wrote itself it finds; what others wrote may be as old as the adapter says.
        Raises: Unavailable; Corrupt if one of them cannot be read.
        """

    def at_hand(self, people: Collection[Pseudonym]) -> Mapping[Pseudonym, Known] | None:
        """As `find`, without waiting: None if the network would have to be asked. For the request path.

        Raises: Unavailable, Corrupt.
        """

    def put(self, contexts: Iterable[tuple[Pseudonym, Facts]]) -> int:
        """Replace the facts of each person. Returns how many people.

        Guarantees: a source that breaks off, or a value that cannot be kept, changes nothing. After Unavailable some
        may have their new facts and others their old: put them again. Raises: Unavailable; InvalidInput.
        """

    def note(self, clicks: Sequence[Click]) -> None:
        """Keep each person's `MAX_RECENT` last clicks. Raises: Unavailable.

        Guarantees: a delivery counts once, when it was first noted, so that noting again changes nothing. One person's
        clicks are noted all or none; after Unavailable some people's may be, so note them all again.
        """

    def expire(self, before: float) -> int:
        """Forget some clicks before that time. Returns how many; 0: none are left. Raises: Unavailable."""

    def forget(self, person: Pseudonym) -> None:
        """Drop a person. Idempotent. Raises: Unavailable."""
