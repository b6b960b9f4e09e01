"""How many requests are worked on at once: what comes on top is told to come back, before anything is read of it."""

from __future__ import annotations


class Admission:
    """A bound on what is inside. Past it every request would be answered later than anybody waits for."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.inside = 0

    def enter(self) -> bool:
        """Whether there is room for one more; if so, it is inside until it calls `leave`."""
        if self.inside >= self._most:
            return False
        self.inside += 1
        return True

    def leave(self) -> None:
        self.inside -= 1
