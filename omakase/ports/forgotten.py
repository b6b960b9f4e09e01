"""Port: who was forgotten, beside the delivery records that name people."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from omakase.core.ids import Pseudonym


class Forgotten(Protocol):
    """A record of a forgotten person may come late, from a spool: whoever takes records asks here first.

    Guarantees: nothing that is kept here says who was forgotten, except to somebody who names the person.
    """

    def forget(self, people: Collection[Pseudonym], at: float) -> None:
        """Note that they were forgotten. Idempotent; the latest time counts. Raises: Unavailable."""

    def find(self, people: Iterable[Pseudonym]) -> Mapping[Pseudonym, float]:
        """When those of them that were forgotten were. Units: Unix seconds. Raises: Unavailable."""

    def since(self, at: float) -> Mapping[str, float]:
        """Who was forgotten then or later, and when: the SHA-256 of their pseudonyms, hexadecimal.

        For those who keep pseudonyms, to look theirs up. Units: Unix seconds. Raises: Unavailable.
        """

    def rewrite(self, mentioning: Sequence[bytes], change: Callable[[bytes], bytes]) -> int:
        """Change every delivery record that holds one of these texts; see `EventLog.rewrite`."""
