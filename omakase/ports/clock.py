"""Port: what time it is."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The one source of time for ids, sessions and expiry. A replay moves it; polling intervals never read it."""

    def now(self) -> float:
        """Units: Unix seconds, UTC."""
