"""What a service serves from: one reference, replaced as a whole, made fresh off the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from omakase.core.errors import OmakaseError

log = logging.getLogger(__name__)

T = TypeVar("T")


class Refresher(Generic[T]):
    """Polls a loader in a thread and swaps what it returns.

    `load(current)` blocks; it returns `current` itself when nothing has changed. It is never called twice at a time.
    Guarantees: a reader of `current` sees one whole state; when loading fails, by any error, the last good state stays
    and the next poll tries again.
    """

    def __init__(self, load: Callable[[T | None], T], poll_s: float, what: str) -> None:
        self.current: T | None = None
        self._load = load
        self._poll_s = poll_s
        self._what = what
        self._ready = asyncio.Event()
        self._complaint = ""

    async def ready(self) -> None:
        """Return once there is a first state."""
        await self._ready.wait()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._poll_s)

    async def refresh(self) -> None:
        """Poll once. Never raises: a fault is logged when it appears and when it has gone, not at every poll."""
        load = self._load
        try:
            loaded = await asyncio.to_thread(load, self.current)
        except OmakaseError as error:
            self._complain(str(error))
        except Exception as error:  # a bug in a loader must not end the polling: the service would grow stale unseen
            self._complain(repr(error), error)
        else:
            self._complain("")
            if load is self._load:
                self.current = loaded
            self._ready.set()

    def follow(self, load: Callable[[T | None], T], loaded: T) -> None:
        """Poll another loader from now on. What it has `loaded` is served at once; what the one before may still be
        loading is dropped."""
        self._load = load
        self.current = loaded
        self._ready.set()

    def _complain(self, complaint: str, error: Exception | None = None) -> None:
        if complaint == self._complaint:
            return
        if complaint:
            kept = "the last one goes on serving" if self._ready.is_set() else "nothing to serve from yet"
            log.error("cannot refresh the %s, %s: %s", self._what, kept, complaint, exc_info=error)
        else:
            log.info("the %s is fresh again", self._what)
        self._complaint = complaint
