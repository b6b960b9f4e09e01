"""Port: one text that many processes read, such as the configuration of a cluster."""

from __future__ import annotations

from typing import Protocol


class SharedText(Protocol):
    """Guarantees: a reader sees a whole text. Of two who replace the same one, one goes through."""

    @property
    def name(self) -> str:
        """What a file of it would be called."""

    def version(self) -> int:
        """Another one with every change; 0 where there is no text. Cheap: readers poll it. Raises: Unavailable."""

    def read(self) -> tuple[bytes, int]:
        """The text and its version. Raises: Unavailable, also where there is none; Corrupt."""

    def replace(self, text: bytes, if_version: int) -> None:
        """Raises: Conflict if it is of another version by now; Unavailable if that could not be found out."""
