"""Port: where a service leaves its delivery records before it answers."""

from __future__ import annotations

from typing import Protocol


class DeliveryLog(Protocol):
    """An append-only spool that somebody ships to tracking later."""

    def append(self, record: bytes) -> None:
        """Keep one encoded slate. On the request path: one unsynced write, no waiting.

        Guarantees: when it returns, the record survives the death of this process. Raises: Unavailable (disk full).
        """
