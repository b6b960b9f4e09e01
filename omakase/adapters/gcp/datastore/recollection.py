"""What was read from afar a moment ago, and need not be read again yet."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NewType, TypeVar

K = TypeVar("K")
V = TypeVar("V")

Moment = NewType("Moment", int)


@dataclass(slots=True)
class Recollection(Generic[K, V]):
    """At most `most` keys, of which the longest unused goes first; what is older than `expiry_s` is not recalled.

    That nothing was there is remembered too. Safe to share between threads.
    """

    expiry_s: float
    most: int
    monotonic: Callable[[], float] = time.monotonic
    _kept: OrderedDict[K, tuple[float, V | None]] = field(default_factory=OrderedDict)
    _drops: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def recall(self, keys: Collection[K]) -> tuple[dict[K, V], list[K]]:
        """What is remembered to be there, and the keys of which nothing is remembered. Cost: under a µs a key."""
        found: dict[K, V] = {}
        unknown: dict[K, None] = {}
        with self._lock:
            oldest = self.monotonic() - self.expiry_s
            for key in keys:
                read_at, value = self._kept.get(key, (oldest, None))
                if read_at <= oldest:
                    unknown[key] = None
                    continue
                self._kept.move_to_end(key)
                if value is not None:
                    found[key] = value
        return found, list(unknown)

    def now(self) -> Moment:
        """Take it before reading what shall be remembered."""
        return Moment(self._drops)

    def remember(self, keys: Iterable[K], found: Mapping[K, V], since: Moment) -> None:
        """What was read of `keys`, unless any were dropped since: then it may have been read before they changed."""
        with self._lock:
            if self._drops != since:
                return
            read_at = self.monotonic()
            for key in keys:
                self._kept[key] = (read_at, found.get(key))
                self._kept.move_to_end(key)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)

    def drop(self, keys: Iterable[K]) -> None:
        with self._lock:
            self._drops += 1
            for key in keys:
                self._kept.pop(key, None)
