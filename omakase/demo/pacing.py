"""How fast shoppers come: an open loop that backs off before it hurts.

People do not wait for each other, so arrivals follow the clock and not the answers. But a demo that drowns the machine
it runs on measures only itself: the rate falls by a fifth when answers get slow, rises by steps while they are quick,
and nobody enters while too many wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from omakase.demo.latency import Latencies

FLOOR = 20.0
_STEP = 10.0
_BACK_OFF = 0.8
_WINDOW_S = 1.0
_SLOW_MS = 150.0


@dataclass(slots=True)
class Pacer:
    """Additive increase, multiplicative decrease, by the second. Units: rates in requests per second."""

    ceiling: float
    max_in_flight: int = 32
    rate: float = field(init=False)
    _window_ends: float = field(init=False, default=0.0)
    _recent: Latencies = field(init=False, default_factory=Latencies)
    _is_strained: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.rate = min(self.ceiling, 5 * FLOOR)

    def gap_s(self, rng: np.random.Generator) -> float:
        """Seconds until the next arrival."""
        return float(rng.exponential(1.0 / self.rate))

    def admits(self, in_flight: int) -> bool:
        """Whether one more may enter. A refusal is a sign of strain."""
        if in_flight < self.max_in_flight:
            return True
        self._is_strained = True
        return False

    def answered(self, latency_ms: float, *, is_healthy: bool) -> None:
        """Take note of one answer; a fallback is not a healthy one."""
        self._recent.add(latency_ms)
        self._is_strained |= not is_healthy

    def strain(self) -> None:
        """Take note that somebody got no answer."""
        self._is_strained = True

    def adjust(self, now: float) -> None:
        """Change the rate if a window is over. Call it as often as you like. Units: now in seconds, monotonic."""
        if now < self._window_ends:
            return
        if self._is_strained or self._recent.quantile(0.9) > _SLOW_MS:
            self.rate = max(min(FLOOR, self.ceiling), self.rate * _BACK_OFF)
        elif self._recent.count:
            self.rate = min(self.ceiling, self.rate + _STEP)
        self._recent, self._is_strained, self._window_ends = Latencies(), False, now + _WINDOW_S
