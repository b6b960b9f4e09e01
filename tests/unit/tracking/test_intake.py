"""Tracking's writer when its stores fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.delivery_store import SqliteDeliveryStore
from omakase.adapters.local.event_log import SqliteEventLog
from omakase.core.errors import InvalidInput, Overloaded, Unavailable
from omakase.core.events import Event
from omakase.core.slates import Slate
from omakase.ports.delivery_store import StoredSlate
from omakase.wire import SpooledSlate, decode_bus_body, encode_slate
from tests.integration.stage import START, until
from tests.integration.test_tracking import new_slate
from tracking.intake import Intake


class Store(SqliteDeliveryStore):
    """The real store, with faults that a test plugs in."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.fault: Exception | None = None
        self.sweeps = 0
        self.gate = threading.Event()
        self.gate.set()

    def find(self, request_ids: Any) -> Any:
        self.gate.wait(30)
        return super().find(request_ids)

    def parked(self, received_before: float, limit: int) -> Any:
        self.sweeps += 1
        if self.fault is not None:
            raise self.fault
        return super().parked(received_before, limit)


class Desk:
    def __init__(
        self, directory: Path, max_queued: int = 100, max_queued_bytes: int = 10**8, store_timeout_s: float = 30
    ) -> None:
        self.bus = SqliteEventLog(directory / "bus.db")
        self.store = Store(directory / "deliveries.db")
        clock = MappedClock.create(directory / "clock", START)
        self.intake = Intake(
            self.bus,
            self.store,
            clock,
            orphan_wait_s=60,
            keep_s=1000,
            sweep_s=0.001,
            max_queued=max_queued,
            max_queued_bytes=max_queued_bytes,
            store_timeout_s=store_timeout_s,
        )

    def put(self, slate: Slate, body: bytes | None = None) -> None:
        """A record that is there already."""
        self.store.put([StoredSlate(slate.request_id, slate.served_at, body or encode_slate(slate))])

    def events(self) -> list[Event]:
        return [cast(Event, decode_bus_body(logged.message.body)) for logged in self.bus.read(0, 1000)]

    async def accept(self, n: int = 1, first: int = 0) -> None:
        slate = new_slate()
        await self.intake.accept(
            [Event(i.to_bytes(16, "big"), slate.request_id, 1, "click", START) for i in range(first, first + n)]
        )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    desk.intake.start()
    yield desk
    desk.intake.stop()


@pytest.mark.parametrize("fault", [Unavailable("away"), ZeroDivisionError("a bug")])
def test_goes_on_storing_and_sweeping_whatever_a_sweep_raised(desk, fault):
    desk.store.fault = fault
    seen = desk.store.sweeps
    until(lambda: desk.store.sweeps > seen + 2, "sweeps fail")
    asyncio.run(asyncio.wait_for(desk.accept(), 10))
    desk.store.fault = None
    assert desk.store.waiting() == 1


def test_an_event_whose_sender_has_gone_is_stored_all_the_same_and_frees_its_place(tmp_path):
    desk = Desk(tmp_path, max_queued=3)
    desk.store.gate.clear()
    desk.intake.start()

    async def leave_early() -> None:
        leaving = asyncio.ensure_future(desk.accept(3))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        with pytest.raises(Overloaded, match="3 events wait"):
            await desk.accept(1, first=50)
        desk.store.gate.set()

    asyncio.run(leave_early())
    until(lambda: desk.store.waiting() == 3, "they are stored")
    asyncio.run(desk.accept(3, first=10))
    desk.intake.stop()
    assert desk.store.waiting() == 6


def test_a_stop_stores_everything_that_was_taken(tmp_path):
    desk = Desk(tmp_path, max_queued=100_000)

    async def flood() -> None:
        waiting = [asyncio.ensure_future(desk.accept(100, first=1000 * i)) for i in range(120)]
        await asyncio.sleep(0)
        desk.intake.start()
        await asyncio.to_thread(desk.intake.stop)
        await asyncio.wait_for(asyncio.gather(*waiting), 10)

    asyncio.run(flood())
    assert desk.store.waiting() == 12_000


def test_a_job_that_cannot_be_stored_does_not_fail_the_others_of_its_round(tmp_path):
    desk, slate = Desk(tmp_path), new_slate()
    desk.put(slate)
    receipts = [b"a" * 16, b"b" * 16, b"too short", b"c" * 16]

    async def together() -> list[BaseException | None]:
        jobs = [
            asyncio.ensure_future(desk.intake.accept([Event(receipt, slate.request_id, 1, "click", START)]))
            for receipt in receipts
        ]
        await asyncio.sleep(0)
        desk.intake.start()
        return await asyncio.wait_for(asyncio.gather(*jobs, return_exceptions=True), 10)

    outcomes = asyncio.run(together())
    desk.intake.stop()
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), InvalidInput, type(None)]
    assert [event.receipt_id for event in desk.events()] == [b"a" * 16, b"b" * 16, b"c" * 16]


def test_an_event_whose_record_cannot_be_read_ends_as_an_orphan_and_holds_nobody_up(desk):
    torn, whole = new_slate(), new_slate()
    desk.put(torn, b"\xff")
    desk.put(whole)
    events = [Event(bytes([i] * 16), slate.request_id, 1, "click", START) for i, slate in enumerate((torn, whole))]
    asyncio.run(asyncio.wait_for(desk.intake.accept(events), 10))
    assert [event.delivery is None for event in desk.events()] == [True, False]


def test_an_event_at_a_position_that_its_slate_does_not_have_ends_as_an_orphan(desk):
    slate = new_slate(n=3)
    desk.put(slate)
    events = [Event(bytes([i] * 16), slate.request_id, i, "click", START) for i in (0, 1, 3, 4)]
    asyncio.run(asyncio.wait_for(desk.intake.accept(events), 10))
    assert [event.delivery is None for event in desk.events()] == [True, False, False, True]


def test_an_event_whose_record_must_have_expired_is_published_without_it_and_waits_for_nothing(desk):
    slate = new_slate()
    at = START + 1000, START + 1000.5  # the desk keeps a record for 1000 s
    events = [Event(bytes([i] * 16), slate.request_id, 1, "click", received_at) for i, received_at in enumerate(at)]
    asyncio.run(asyncio.wait_for(desk.intake.accept(events), 10))
    assert [(event.received_at, event.delivery) for event in desk.events()] == [(at[1], None)]
    assert desk.store.waiting() == 1


def test_waits_no_longer_than_it_may_and_does_not_store_later_what_it_gave_up(tmp_path):
    desk = Desk(tmp_path, max_queued=3, store_timeout_s=0.05)
    desk.store.gate.clear()
    desk.intake.start()
    for first in range(3):
        with pytest.raises(Unavailable, match="not stored within"):
            asyncio.run(desk.accept(first=first))
    with pytest.raises(Overloaded):  # they take their places until the store turns up again
        asyncio.run(desk.accept(first=4))
    desk.store.gate.set()
    until(lambda: desk.store.waiting() == 1, "the one that had begun is stored")
    until(lambda: _is_accepted(desk), "there is room again")
    desk.intake.stop()
    assert desk.store.waiting() == 2


def _is_accepted(desk: Desk) -> bool:
    with suppress(Unavailable):
        asyncio.run(desk.accept(first=5))
        return True
    return False


def test_what_waits_is_bounded_in_bytes(tmp_path):
    slate = new_slate()
    desk = Desk(tmp_path, max_queued_bytes=5 * len(encode_slate(slate)))
    desk.store.gate.clear()
    desk.intake.start()

    async def crowd() -> None:
        await desk.intake.record([SpooledSlate.of(encode_slate(slate))] * 2)  # twice each: a record and a message
        with pytest.raises(Overloaded):
            await desk.intake.record([SpooledSlate.of(encode_slate(slate))] * 3)
        await desk.intake.record([SpooledSlate.of(encode_slate(slate))] * 2)  # what is stored takes no room

    asyncio.run(asyncio.wait_for(crowd(), 10))
    desk.store.gate.set()
    desk.intake.stop()
