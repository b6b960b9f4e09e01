"""The newest snapshot of one key that is fit to serve."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from omakase.core.errors import Corrupt, NotFound, Unavailable
from omakase.ports.model_store import ABSENT, Generation, ModelKey, ModelStore

log = logging.getLogger(__name__)

T = TypeVar("T")


class Newest(Generic[T]):
    """Follows one key of the model store; `decode` turns bytes into what is served or raises Corrupt.

    Guarantees: a snapshot that is refused is logged once and never served; the last good one goes on. A process that
    starts on a refused snapshot goes back through the history to the newest good one.

    `value` is None, and `generation` ABSENT, while nothing was published and where nothing kept is fit to serve;
    `is_refused` tells the second from the first.
    """

    def __init__(self, store: ModelStore, key: ModelKey, decode: Callable[[bytes], T]) -> None:
        self.value: T | None = None
        self.generation: Generation = ABSENT
        self.refusals = 0
        self._store = store
        self._key = key
        self._decode = decode
        self._seen: Generation | None = None
        self._was_absent = False
        self._is_away = False

    @property
    def is_refused(self) -> bool:
        """Whether this process has found snapshots but none, ever, that it could serve or do without."""
        return self.value is None and not self._was_absent

    def refresh(self) -> bool:
        """Look once. Returns whether `value` changed. Blocks.

        Raises: Unavailable before the first answer of the store. To take that for "nothing was ever published" would
        serve the bare prior in place of all that was learnt.
        """
        try:
            changed = self._look()
        except Unavailable as error:
            if self._seen is None:
                raise
            if not self._is_away:
                log.warning("the model store is away, %s@%d goes on serving: %s", self._key, self.generation, error)
            self._is_away = True
            return False
        self._is_away = False
        return changed

    def _look(self) -> bool:
        try:
            newest = self._store.generation(self._key)
        except Corrupt as error:
            return self._recover(Generation(-1), error)
        if newest == self._seen:
            return False
        if newest == ABSENT:
            self._seen, self._was_absent = newest, True
            return False
        try:
            found = self._store.latest(self._key)
            if found is None:
                return False
            body, newest = found
            value = self._decode(body)
        except Corrupt as error:
            return self._recover(newest, error)
        self._take(value, newest)
        self._seen = newest
        return True

    def _recover(self, refused: Generation, error: Corrupt) -> bool:
        """Refuse a generation; where nothing is served yet, serve the newest good one before it."""
        if refused == self._seen:
            return False
        self.refusals += 1
        log.error("refused snapshot %s@%d: %s", self._key, refused, error)
        is_first = self.value is None
        if is_first:
            self._go_back(refused)
        self._seen = refused
        return is_first and self.value is not None

    def _go_back(self, refused: Generation) -> None:
        for generation in self._store.history(self._key):
            if generation == refused:
                continue
            try:
                value = self._decode(self._store.read(self._key, generation))
            except (Corrupt, NotFound) as error:
                log.error("refused snapshot %s@%d: %s", self._key, generation, error)
                continue
            self._take(value, generation)
            return

    def _take(self, value: T, generation: Generation) -> None:
        log.info("serving %s@%d", self._key, generation)
        self.value, self.generation = value, generation
