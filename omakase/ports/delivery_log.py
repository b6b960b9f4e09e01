"""Port: where a service leaves its delivery records before it answers."""

from __future__ import annotations

from typing import Protocol


class DeliveryLog(Protocol):
    """An append-only spool that somebody ships to tracking later."""

    def append(self, *records: bytes) -> None:
        """Keep encoded slates, in order. On the request path: one unsynced write for all, no waiting.

        Guarantees: when it returns, the records survive the death of this process; when it raises, none of them is
        kept. Raises: Unavailable (disk full).
        """
