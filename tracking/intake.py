"""The one writer of tracking: what came in together is stored together.

Requests put their work in a bounded queue; a single thread takes all that is there, stores it with a handful of
transactions and only then lets the requests answer. So a 202 always follows the write, and the cost of a commit is
shared.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import TypeAlias

from prometheus_client import Gauge

from omakase.core.errors import Corrupt, OmakaseError, Overloaded, Unavailable
from omakase.core.events import Event
from omakase.core.ids import RequestId, issued_at
from omakase.ports.clock import Clock
from omakase.ports.delivery_store import DeliveryStore, Parked, StoredSlate
from omakase.ports.event_bus import EventBus, Message
from omakase.wire import RecordedSlate, SpooledSlate, bus_body_of_unread_event, decode_event
from tracking.jobs import Job
from tracking.join import event_message, parked, slate_message

log = logging.getLogger(__name__)

_ROUND = 5_000
QUEUED = Gauge("omakase_tracking_queued_events", "Events and delivery records that wait to be stored")

Sight: TypeAlias = Callable[[list[Event], Mapping[RequestId, RecordedSlate | None]], list[Event]]


def _overlook(events: list[Event], _: Mapping[RequestId, RecordedSlate | None]) -> list[Event]:
    return events


class Intake:
    """Stores events and slates on one thread, in the order in which crashes do no harm.

    A slate goes to the bus before its record can be found, so no event overtakes it. An event without a record is
    parked; a sweep joins it when the record has come, or gives it up after `orphan_wait_s`. One whose record has
    expired, as the time in its id tells, is published without it at once: the warehouse joins it. Every step is
    idempotent: whoever gets no answer repeats the whole call.

    `see` looks at events that have met their slate before they are published, and may mark them.

    Guarantees: no call waits longer than `store_timeout_s`; no more than `max_queued` events and slates and
    `max_queued_bytes` wait in memory. What is refused for either reason was not promised to anybody.
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
        max_queued_bytes: int,
        store_timeout_s: float,
        see: Sight = _overlook,
    ) -> None:
        self._bus = bus
        self._store = store
        self._clock = clock
        self._orphan_wait_s = orphan_wait_s
        self.keep_s = keep_s  # may be changed while it runs
        self._sweep_s = sweep_s
        self._max_queued = max_queued
        self._max_queued_bytes = max_queued_bytes
        self._store_timeout_s = store_timeout_s
        self._see = see
        self._queued = 0
        self._queued_bytes = 0
        QUEUED.set_function(lambda: self._queued)
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Store what is queued, then end."""
        self._jobs.put(None)
        self._thread.join()

    async def accept(self, events: Sequence[Event]) -> None:
        """Store events; they are safe when this returns. Raises: Overloaded, Unavailable."""
        await self._stored(Job(events=events))

    async def record(self, slates: Sequence[SpooledSlate], following: Sequence[Message] = ()) -> None:
        """Store slates as they were spooled; they are safe when this returns.

        The messages `following` them on the bus are safe then too. Raises: Overloaded, Unavailable.
        """
        now = self._clock.now()
        records = [StoredSlate(slate.request_id, slate.served_at, slate.body) for slate in slates]
        messages = [slate_message(slate, now) for slate in slates]
        await self._stored(Job(records=records, messages=[*messages, *following]))

    def sweep(self, *, give_up: bool = False) -> int:
        """Publish parked events whose record has come, and those that have waited too long (`give_up`: all).

        Returns how many. Call it on the intake's thread, or while that does not run.
        """
        now = self._clock.now()
        waiting = self._store.parked(float("inf") if give_up else now - self._orphan_wait_s, _ROUND)
        if not waiting:
            return 0
        events, unreadable = _decode(waiting)
        slates = self._find(events)
        joined = [event_message(event, slates.get(event.request_id)) for event in self._see(events, slates)]
        self._bus.publish([*joined, *unreadable])
        self._store.release([entry.receipt_id for entry in waiting])
        orphans = sum(event.request_id not in slates for event in events)
        if orphans:
            log.warning("%d events were given up: their delivery records never came", orphans)
        return len(waiting)

    async def _stored(self, job: Job) -> None:
        with self._lock:
            if self._queued + job.size > self._max_queued or self._queued_bytes + job.bytes > self._max_queued_bytes:
                raise Overloaded(f"{self._queued} events wait to be stored", retry_after_s=1.0)
            self._queued += job.size
            self._queued_bytes += job.bytes
        self._jobs.put(job)
        try:
            async with asyncio.timeout(self._store_timeout_s):
                await asyncio.wrap_future(job.done)
        except TimeoutError:
            job.is_given_up = True
            raise Unavailable(f"not stored within {self._store_timeout_s:g} s: send it again") from None

    def _run(self) -> None:
        sweep_at = expire_at = 0.0
        while True:
            jobs, stopping = self._take()
            if jobs:
                self._settle(jobs)
            if stopping or time.monotonic() >= sweep_at:
                expire_at = self._tidy(expire_at)
                sweep_at = time.monotonic() + self._sweep_s
            if stopping:
                return

    def _tidy(self, expire_at: float) -> float:
        """Sweep, and forget old records from `expire_at` on. Returns when to forget the next."""
        try:
            self.sweep()
            now = self._clock.now()
            if now >= expire_at and not self._store.expire(now - self.keep_s):
                return now + 60.0
        except OmakaseError as error:
            log.warning("sweeping parked events waits: %s", error)
        except Exception:  # the thread must outlive it: without it every request would wait for ever
            log.exception("sweeping failed")
        return expire_at

    def _take(self) -> tuple[list[Job], bool]:
        """All jobs that are there, up to a round's worth; waits for the first at most until the next sweep."""
        jobs: list[Job] = []
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

    def _settle(self, jobs: Sequence[Job]) -> None:
        """Store a round of jobs and let each answer."""
        wanted = [job for job in jobs if not job.is_given_up]
        failure = self._try(wanted)
        if failure is None or isinstance(failure, Unavailable) or len(wanted) == 1:
            outcomes = [(job, failure) for job in wanted]
        else:  # some job's own fault, which must not fail the others
            outcomes = [(job, self._try([job])) for job in wanted]
        with self._lock:
            self._queued -= sum(job.size for job in jobs)
            self._queued_bytes -= sum(job.bytes for job in jobs)
        for job, outcome in outcomes:
            job.answer(outcome)

    def _try(self, jobs: Sequence[Job]) -> Exception | None:
        """Store jobs, all or none or, for a failure on the way, some: whoever is told of it repeats the call."""
        try:
            self._store_slates(jobs)
            self._store_events([event for job in jobs for event in job.events])
        except OmakaseError as error:
            return error
        except Exception as error:  # the thread must outlive a fault of an adapter
            log.exception("storing failed")
            return error
        return None

    def _store_slates(self, jobs: Sequence[Job]) -> None:
        if messages := [message for job in jobs for message in job.messages]:
            self._bus.publish(messages)
        if records := [record for job in jobs for record in job.records]:
            self._store.put(records)

    def _store_events(self, events: Sequence[Event]) -> None:
        if not events:
            return
        slates = self._find(events)
        early = [event for event in events if event.request_id not in slates and not self._is_late(event)]
        waiting = {event.receipt_id for event in early}
        if settled := self._see([event for event in events if event.receipt_id not in waiting], slates):
            self._bus.publish([event_message(event, slates.get(event.request_id)) for event in settled])
        if early:
            self._store.park([parked(event) for event in early])

    def _is_late(self, event: Event) -> bool:
        """Whether the record of an event that has none has expired, instead of being on its way."""
        return event.received_at - issued_at(event.request_id) > min(self.keep_s, self._store.expiry_s)

    def _find(self, events: Sequence[Event]) -> Mapping[RequestId, RecordedSlate | None]:
        """The slates that are known; None for one whose record cannot be read, so that its events end as orphans."""
        slates: dict[RequestId, RecordedSlate | None] = {}
        for request_id, body in self._store.find({event.request_id for event in events}).items():
            try:
                slates[request_id] = RecordedSlate(body)
            except Corrupt as error:
                log.error("a delivery record cannot be read, its events are given up: %s", error)
                slates[request_id] = None
        return slates


def _decode(waiting: Sequence[Parked]) -> tuple[list[Event], list[Message]]:
    """Parked events; and those that cannot be read, as they are: the trainer sets them aside and counts them."""
    events, unreadable = [], []
    for entry in waiting:
        try:
            events.append(decode_event(entry.body))
        except Corrupt as error:
            log.error("a parked event cannot be read: %s", error)
            unreadable.append(Message(entry.receipt_id, entry.received_at, bus_body_of_unread_event(entry.body)))
    return events, unreadable
