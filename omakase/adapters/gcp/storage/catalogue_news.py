"""The newest generation of a catalogue, known at once: who changes it announces it, and the bucket is asked besides."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable

from prometheus_client import Counter

from omakase.adapters.gcp.pubsub.announcements import Announcements, Following
from omakase.core.errors import OmakaseError

log = logging.getLogger(__name__)

UNANNOUNCED = Counter(
    "omakase_unannounced_changes", "Changes of the catalogue that could not be announced: readers find them by polling"
)
# Announced or not, a change is known so soon.
POLL_S = 1.0
_PAUSE_S = 30.0


class CatalogueNews:
    """Of the catalogue at `place`. Follows from the second time it is asked: who asks once polls nothing."""

    def __init__(
        self,
        place: str,
        poll: Callable[[], int],
        announcements: Announcements,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`poll` asks the bucket."""
        self._place = place
        self._poll = poll
        self._announcements = announcements
        self._monotonic = monotonic
        self._following: Following | None = None
        self._newest = 0
        self._is_polled = False
        self._looked_at = float("-inf")
        self._silent_until = float("-inf")
        self._lock = threading.Lock()

    def generation(self) -> int:
        """As announced, or as the bucket said a second ago at most. Raises: what `poll` raises."""
        with self._lock:
            if self._is_polled and self._following is None:
                self._following = self._announcements.follow(self._hear)
                atexit.register(self.close)
            self._is_polled = True
        if self._monotonic() >= self._looked_at + POLL_S:
            now, before = self._monotonic(), self._newest
            found = self._poll()
            with self._lock:
                # What was heard meanwhile may be newer; else the bucket is right, were it another one by now.
                self._newest = found if self._newest == before else max(self._newest, found)
                self._looked_at = now
        return self._newest

    def close(self) -> None:
        """Follow no longer. Done at the end of the process, too."""
        with self._lock:
            following, self._following, self._is_polled = self._following, None, False
        if following is not None:
            atexit.unregister(self.close)
            following.close()

    def learn(self, generation: int) -> None:
        """What somebody has seen."""
        with self._lock:
            self._newest = max(self._newest, generation)

    def tell(self, generation: int) -> None:
        """Announce it. Never raises: a reader that is not told finds it by polling. After a failure it is silent for
        half a minute, so that a topic that is away holds up nobody."""
        self.learn(generation)
        if self._monotonic() < self._silent_until:
            UNANNOUNCED.inc()
            return
        try:
            self._announcements.announce(f"{self._place} {generation}")
        except OmakaseError as error:
            UNANNOUNCED.inc()
            self._silent_until = self._monotonic() + _PAUSE_S
            log.warning(
                "generation %d of the catalogue is not announced, readers find it by polling: %s", generation, error
            )

    def _hear(self, text: str) -> None:
        place, _, generation = text.rpartition(" ")
        if not text:  # something may have been missed
            self._looked_at = float("-inf")
        elif place == self._place and generation.isdecimal():
            self.learn(int(generation))
