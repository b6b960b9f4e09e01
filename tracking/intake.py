"""The one writer of tracking: what came in together is stored together.

Requests put their work in a queue; a single thread takes all that is there, stores it with a handful of transactions
and only then lets the requests answer. So a 202 always follows the write, and the cost of a commit is shared.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from omakase.core.errors import Corrupt, OmakaseError, Overloaded, Unavailable
from omakase.core.events import Event
from omakase.core.ids import RequestId
from omakase.core.slates import Slate
from omakase.ports.clock import Clock
from omakase.ports.delivery_store import DeliveryStore, Parked, StoredSlate
from omakase.ports.event_bus import EventBus, Message
from omakase.wire import decode_event, decode_slate
from tracking.join import event_message, join, parked, slate_message

log = logging.getLogger(__name__)

_ROUND = 5_000


@dataclass(slots=True)
class _Job:
    """What one request wants stored. Slates come with the bytes they were spooled as."""

    events: Sequence[Event] = ()
    slates: Sequence[tuple[Slate, bytes]] = ()
    done: Future[None] = field(default_factory=Future)

    @property
    def size(self) -> int:
        return len(self.events) + len(self.slates)


class Intake:
    """Stores events and slates on one thread, in the order in which crashes do no harm.

    A slate goes to the bus before its record can be found, so no event overtakes it. An event without a record is
    parked; a sweep joins it when the record has come, or gives it up after `orphan_wait_s`. Every step is idempotent:
    whoever gets no answer repeats the whole call.
    """

    def __init__(
        self,
        bus: EventBus,
        store: DeliveryStore,
        clock: Clock,
        *,
        orphan_wait_s: float,
        keep_s: float,
        sweep_s: float,
        max_queued: int,
    ) -> None:
        self._bus = bus
        self._store = store
        self._clock = clock
        self._orphan_wait_s = orphan_wait_s
        self._keep_s = keep_s
        self._sweep_s = sweep_s
        self._max_queued = max_queued
        self._queued = 0
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Store what is queued, then end."""
        self._jobs.put(None)
        self._thread.join()

    async def accept(self, events: Sequence[Event]) -> None:
        """Store events; they are safe when this returns. Raises: Overloaded, Unavailable."""
        await asyncio.wrap_future(self._submit(_Job(events=events)))

    async def record(self, slates: Sequence[tuple[Slate, bytes]]) -> None:
        """Store slates; they are safe when this returns. Raises: Overloaded, Unavailable."""
        await asyncio.wrap_future(self._submit(_Job(slates=slates)))

    def sweep(self, *, give_up: bool = False) -> int:
        """Publish parked events whose record has come, and those that have waited too long (`give_up`: all).

        Returns how many. Call it on the intake's thread, or while that does not run.
        """
        now = self._clock.now()
        waiting = self._store.parked(float("inf") if give_up else now - self._orphan_wait_s, _ROUND)
        if not waiting:
            return 0
        events, unreadable = _decode(waiting)
        joined, orphans = join(events, self._find(events))
        self._bus.publish([*(event_message(event) for event in (*joined, *orphans)), *unreadable])
        self._store.release([entry.receipt_id for entry in waiting])
        if orphans:
            log.warning("%d events were given up: their delivery records never came", len(orphans))
        return len(waiting)

    def _submit(self, job: _Job) -> Future[None]:
        with self._lock:
            if self._queued + job.size > self._max_queued:
                raise Overloaded(f"{self._queued} events wait to be stored", retry_after_s=1.0)
            self._queued += job.size
        self._jobs.put(job)
        return job.done

    def _run(self) -> None:
        expire_at = 0.0
        while True:
            jobs, stopping = self._take()
            if jobs:
                self._settle(jobs)
            try:
                self.sweep()
                if self._clock.now() >= expire_at and not self._store.expire(self._clock.now() - self._keep_s):
                    expire_at = self._clock.now() + 60.0
            except OmakaseError as error:
                log.warning("sweeping parked events waits: %s", error)
            except Exception:  # the thread must outlive it: without it every request would wait for ever
                log.exception("sweeping failed")
            if stopping:
                return

    def _take(self) -> tuple[list[_Job], bool]:
        """All jobs that are there, up to a round's worth; waits for the first at most until the next sweep."""
        jobs: list[_Job] = []
        size = 0
        try:
            job = self._jobs.get(timeout=self._sweep_s)
            while job is not None:
                jobs.append(job)
                size += job.size
                if size >= _ROUND:
                    return jobs, False
                job = self._jobs.get_nowait()
        except Empty:
            return jobs, False
        return jobs, True

    def _settle(self, jobs: list[_Job]) -> None:
        failure: Exception | None = None
        try:
            self._store_slates([entry for job in jobs for entry in job.slates])
            self._store_events([event for job in jobs for event in job.events])
        except OmakaseError as error:
            failure = error
        except Exception as error:  # the thread must outlive a fault of an adapter; the callers get it as a 503
            log.exception("storing failed")
            failure = Unavailable(str(error))
        with self._lock:
            self._queued -= sum(job.size for job in jobs)
        for job in jobs:
            _resolve(job.done, failure)

    def _store_slates(self, slates: Sequence[tuple[Slate, bytes]]) -> None:
        if not slates:
            return
        now = self._clock.now()
        self._bus.publish([slate_message(slate, now) for slate, _ in slates])
        self._store.put([StoredSlate(slate.request_id, slate.served_at, body) for slate, body in slates])

    def _store_events(self, events: Sequence[Event]) -> None:
        if not events:
            return
        joined, unknown = join(events, self._find(events))
        self._bus.publish([event_message(event) for event in joined])
        if unknown:
            self._store.park([parked(event) for event in unknown])

    def _find(self, events: Sequence[Event]) -> dict[RequestId, Slate]:
        found = self._store.find({event.request_id for event in events})
        return {request_id: decode_slate(body) for request_id, body in found.items()}


def _decode(waiting: Sequence[Parked]) -> tuple[list[Event], list[Message]]:
    """Parked events; and those that cannot be read, as they are: the trainer sets them aside and counts them."""
    events, unreadable = [], []
    for entry in waiting:
        try:
            events.append(decode_event(entry.body))
        except Corrupt as error:
            log.error("a parked event cannot be read: %s", error)
            unreadable.append(Message(entry.receipt_id, entry.received_at, entry.body))
    return events, unreadable


def _resolve(done: Future[None], failure: Exception | None) -> None:
    if not done.set_running_or_notify_cancel():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)
