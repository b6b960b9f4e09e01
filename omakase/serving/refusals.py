"""What is refused before anybody looks at what it asks: counted, and told of in few lines however fast it comes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from prometheus_client import Counter

log = logging.getLogger(__name__)

REFUSED = Counter("omakase_refused_requests", "Requests and connections refused, whatever they asked", ["reason"])

# One line per reason in so many seconds: whoever is refused a thousand times a second must not fill a disk.
_PAUSE_S = 1.0


class Refusals:
    """Counts refusals by reason and writes a line for the first; the next one says how many came without a line.

    Not for several threads. Cost: a few hundred nanoseconds where no line is written.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._told_at: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def add(self, reason: str, detail: str) -> None:
        """`reason` is one of few, for a metric's label; `detail` holds nothing that was sent."""
        REFUSED.labels(reason).inc()
        now = self._now()
        if now - self._told_at.get(reason, -_PAUSE_S) < _PAUSE_S:
            self._untold[reason] = self._untold.get(reason, 0) + 1
            return
        untold = self._untold.pop(reason, 0)
        self._told_at[reason] = now
        log.warning("refused (%s): %s%s", reason, detail, f"; and {untold} more since the last line" if untold else "")
