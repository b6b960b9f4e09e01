"""Tracking's writer when its stores fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.delivery_store import SqliteDeliveryStore
from omakase.adapters.local.event_log import SqliteEventLog
from omakase.core.errors import Overloaded, Unavailable
from omakase.core.events import Event
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
    def __init__(self, directory: Path, max_queued: int = 100) -> None:
        self.bus = SqliteEventLog(directory / "bus.db")
        self.store = Store(directory / "deliveries.db")
        clock = MappedClock.create(directory / "clock", START)
        self.intake = Intake(
            self.bus, self.store, clock, orphan_wait_s=60, keep_s=1000, sweep_s=0.001, max_queued=max_queued
        )

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
