"""A circuit breaker: who does not answer is not asked for a while, and then looked at before anybody is sent there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Breaker:
    """Opens after `failures` in a row, or at once when there is nothing there to ask. It closes when a look at it, once
    a pause, finds it well; then it is on trial, and the next failure opens it again. The pause doubles with every look
    in vain.

    Units: seconds, `clock` monotonic.
    """

    clock: Callable[[], float] = time.monotonic
    failures: int = 3
    first_pause_s: float = 0.1
    longest_pause_s: float = 0.5
    is_open: bool = field(default=False, init=False)
    _failed: int = field(default=0, init=False)
    _pause_s: float = field(default=0.0, init=False)
    _look_at: float = field(default=0.0, init=False)

    def succeeded(self) -> None:
        """It answered what it was asked."""
        self.is_open = False
        self._failed = 0

    def failed(self, *, is_nothing_there: bool = False) -> None:
        """It did not answer, or not in time."""
        self._failed += 1
        if not self.is_open and (is_nothing_there or self._failed >= self.failures):
            self.is_open = True
            self._pause_s = self.first_pause_s
            self._look_at = self.clock() + self._pause_s

    def may_look(self) -> bool:
        """Whether it is time for a look. True once a pause: who is told so, looks, and says what was found."""
        if not self.is_open or self.clock() < self._look_at:
            return False
        self._pause_s = min(2 * self._pause_s, self.longest_pause_s)
        self._look_at = self.clock() + self._pause_s
        return True

    def looked_well(self) -> None:
        """A look found it well: it may be asked, on trial."""
        self.is_open = False
        self._failed = self.failures - 1
