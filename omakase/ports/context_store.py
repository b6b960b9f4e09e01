"""Port: what is known of a person before the request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from omakase.core.ids import Pseudonym
from omakase.core.values import Facts


class ContextStore(Protocol):
    """Facts by pseudonym; never a raw id."""

    def get(self, person: Pseudonym) -> Facts | None:
        """The facts of one person, or None. On the request path: under a millisecond. Raises: Unavailable."""

    def put(self, contexts: Iterable[tuple[Pseudonym, Facts]]) -> int:
        """Replace the facts of each person, all or none. Returns how many. Raises: Unavailable."""

    def forget(self, person: Pseudonym) -> None:
        """Drop a person. Idempotent. Raises: Unavailable."""
