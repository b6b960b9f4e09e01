"""What people clicked last, told to the context store for their next request."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from queue import Empty, SimpleQueue

from prometheus_client import Counter

from omakase.core.errors import Unavailable
from omakase.core.events import CLICK, Event
from omakase.core.ids import RequestId, issued_at
from omakase.ports.clock import Clock
from omakase.ports.context_store import Click, ContextStore
from omakase.ports.forgotten import Forgotten
from omakase.wire import RecordedSlate

log = logging.getLogger(__name__)

DROPPED = Counter("omakase_recent_clicks_dropped", "Clicks that features will not know of: the context store was away")

_ROUND = 1_000
_TIDY_S = 60.0


def clicks_of(events: Iterable[Event], slates: Mapping[RequestId, RecordedSlate | None]) -> list[Click]:
    """The clicks of people who are logged in and allow to be known. Unwanted ones tell nothing."""
    clicks = []
    for event in events:
        slate = slates.get(event.request_id)
        if event.type != CLICK or event.unwanted or slate is None or not slate.user:
            continue
        item_ids = slate.item_ids
        if 1 <= event.position <= len(item_ids):
            item_id = item_ids[event.position - 1]
            clicks.append(Click(slate.user, event.request_id, event.position, item_id, event.received_at))
    return clicks


class RecentClicks:
    """Notes clicks on a thread of its own: no event waits for the context store, and none fails with it.

    So what waits when the process is killed is missing from features, and from nothing else.

    Guarantees: at most `max_waiting` clicks wait; what is more, while the store is away, is dropped and counted. Of
    whoever was forgotten nothing is noted that was served before. Units: seconds; a click is kept for `keep_s`.
    """

    def __init__(
        self,
        contexts: ContextStore,
        forgotten: Forgotten,
        clock: Clock,
        *,
        keep_s: float,
        max_waiting: int = 50_000,
        retry_s: float = 1.0,
    ) -> None:
        self._contexts = contexts
        self._forgotten = forgotten
        self._clock = clock
        self.keep_s = keep_s  # may be changed while it runs
        self._max_waiting = max_waiting
        self._retry_s = retry_s
        self._expire_at = -inf
        self._is_away = False
        self._waiting: SimpleQueue[Click | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recent clicks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Note what waits, if the store is there, then end."""
        self._stopping.set()
        self._waiting.put(None)
        self._thread.join()

    def see(self, events: Iterable[Event], slates: Mapping[RequestId, RecordedSlate | None]) -> None:
        """Take the clicks among events that have met their slates. Never waits. Call it on one thread."""
        clicks = clicks_of(events, slates)
        room = max(0, self._max_waiting - self._waiting.qsize())
        for click in clicks[:room]:
            self._waiting.put(click)
        if len(clicks) > room:
            DROPPED.inc(len(clicks) - room)

    def flush(self) -> None:
        """Note all that waits. Call it while the thread does not run. Raises: Unavailable."""
        while clicks := self._take(0.0):
            self._note(clicks)

    def _run(self) -> None:
        while True:
            clicks = self._take(_TIDY_S)
            while not self._try(clicks):
                if self._stopping.wait(self._retry_s):
                    DROPPED.inc(len(clicks) + sum(map(len, iter(lambda: self._take(0.0), []))))
                    return
            if self._stopping.is_set() and self._waiting.empty():
                return

    def _take(self, patience_s: float) -> list[Click]:
        """All that waits, up to a round's worth; waits for the first."""
        clicks: list[Click] = []
        try:
            click = self._waiting.get(timeout=patience_s) if patience_s else self._waiting.get_nowait()
            while click is not None:
                clicks.append(click)
                if len(clicks) == _ROUND:
                    break
                click = self._waiting.get_nowait()
        except Empty:
            pass
        return clicks

    def _try(self, clicks: Sequence[Click]) -> bool:
        """False if it is to be tried again."""
        try:
            self._note(clicks)
            self._expire()
        except Unavailable as error:
            if not self._is_away:
                log.warning("what people clicked cannot be noted and waits: %s", error)
            self._is_away = True
            return False
        except Exception:  # the thread must outlive it: without it no feature would know of a click again
            log.exception("noting %d clicks failed", len(clicks))
            DROPPED.inc(len(clicks))
        self._is_away = False
        return True

    def _note(self, clicks: Sequence[Click]) -> None:
        if not clicks:
            return
        forgotten = self._forgotten.find({click.person for click in clicks})
        kept = [click for click in clicks if issued_at(click.request_id) > forgotten.get(click.person, -inf)]
        self._contexts.note(kept)

    def _expire(self) -> None:
        now = self._clock.now()
        if now >= self._expire_at and not self._contexts.expire(now - self.keep_s):
            self._expire_at = now + _TIDY_S
