"""What is known of the people whom a batch is for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from omakase.core.errors import Corrupt, OmakaseError
from omakase.core.ids import Pseudonym
from omakase.ports.context_store import ContextStore
from recommender import metrics
from recommender.contexts import STRANGERS, Acquaintance
from recommender.ranking import Query

Read: TypeAlias = Callable[[list[Pseudonym]], Acquaintance | None]

log = logging.getLogger(__name__)

_THREADS = 32  # as many batches may wait for the store at a time; none exists before one does
_MOST_FAILURES = 3
_PAUSE_S = 1.0
_CONNECT_S = 2.0


class People:
    """Looks up everybody of a batch at once: from memory or disk on the event loop, over a network on a thread.

    A store that is slow, away, or holds rubbish costs what is known of people, not their slates: it is waited for at
    most `timeout_s`, and after three failures in a row it is left alone for a second. What goes unused is counted.
    """

    def __init__(
        self, store: ContextStore, timeout_s: float = 0.05, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._failures = 0
        self._ask_again_at = 0.0
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="contexts")

    async def of(self, queries: Sequence[Query]) -> Acquaintance:
        """Of those who allow to be known. Nobody else is looked up."""
        people = [query.user for query in queries if query.personalise and query.user]
        if not people:
            return STRANGERS
        try:
            known = self._read(self._store.at_hand, people)
            if known is None:
                if self._is_paused:
                    metrics.CONTEXTS_UNUSED.labels("unreadable").inc(len(people))
                    return STRANGERS
                find = partial(self._store.find, within_s=self._timeout_s)
                known = await self._on_thread(partial(self._read, find, people))
        except OmakaseError as error:
            self._lose(people, error)
            self._ask_again_at = self._monotonic() + _PAUSE_S
            return STRANGERS
        self._failures = 0
        return known or STRANGERS

    async def connect(self) -> None:
        """Ask for nobody in particular, so that the first request finds a connection. The store may be away."""
        with suppress(OmakaseError):
            stranger = [Pseudonym("stranger")]
            if self._store.at_hand(stranger) is None:
                await self._on_thread(partial(self._store.find, stranger, _CONNECT_S))

    @property
    def _is_paused(self) -> bool:
        return self._failures >= _MOST_FAILURES and self._monotonic() < self._ask_again_at

    async def _on_thread(self, work: Callable[[], Acquaintance | None]) -> Acquaintance | None:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _read(self, read: Read, people: list[Pseudonym]) -> Acquaintance | None:
        """One person's rubbish costs the others nothing. Raises: Unavailable."""
        try:
            return read(people)
        except Corrupt as error:
            if len(people) == 1:
                self._lose(people, error)
                return STRANGERS
            half = len(people) // 2
            first, second = self._read(read, people[:half]), self._read(read, people[half:])
            return None if first is None or second is None else {**first, **second}

    def _lose(self, people: list[Pseudonym], error: Exception) -> None:
        metrics.CONTEXTS_UNUSED.labels("unreadable").inc(len(people))
        if not self._failures:
            log.error("stored contexts cannot be read, ranking without them: %s", error)
        self._failures += 1
