"""What tracking tells the context store of clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.context_store import SqliteContextStore
from omakase.adapters.local.forgotten import SqliteForgotten
from omakase.core.errors import Unavailable
from omakase.core.events import Event
from omakase.core.ids import NOBODY, Pseudonym
from omakase.core.slates import Slate
from omakase.ports.context_store import Click, Known
from omakase.wire import RecordedSlate, encode_slate
from tests.integration.stage import START, until
from tests.integration.test_tracking import new_slate
from tracking.recent import RecentClicks

USER = Pseudonym("user")
KEEP_S = 1000.0


class Contexts(SqliteContextStore):
    """The real store, with a fault that a test plugs in."""

    fault: Exception | None = None
    refusals = 0

    def note(self, clicks: Sequence[Click]) -> None:
        if self.fault is not None:
            self.refusals += 1
            raise self.fault
        super().note(clicks)

    def clicked(self) -> tuple[str, ...]:
        return self.find([USER]).get(USER, Known()).clicked


class Room:
    def __init__(self, directory: Path) -> None:
        self.contexts = Contexts(directory / "contexts.db")
        self.forgotten = SqliteForgotten(directory / "deliveries.db")
        self.clock = MappedClock.create(directory / "clock", START)
        self.recent = self.new_recent()

    def new_recent(self, max_waiting: int = 100, retry_s: float = 0.001) -> RecentClicks:
        return RecentClicks(
            self.contexts, self.forgotten, self.clock, keep_s=KEEP_S, max_waiting=max_waiting, retry_s=retry_s
        )

    def see(self, slate: Slate, *events: Event) -> None:
        self.recent.see(events, {slate.request_id: RecordedSlate(encode_slate(slate))})


def event(slate: Slate, position: int = 1, kind: str = "click", **changes: object) -> Event:
    happened = Event(position.to_bytes(16, "big"), slate.request_id, position, kind, START + position)
    return replace(happened, **changes)  # type: ignore[arg-type]


def dropped() -> float:
    return REGISTRY.get_sample_value("omakase_recent_clicks_dropped_total") or 0.0


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_clicks_are_noted_in_the_order_in_which_they_came(room: Room) -> None:
    slate = new_slate()
    room.see(slate, event(slate, 2), event(slate, 1, received_at=START + 9), event(slate, 3))
    room.see(slate, event(slate, 2))  # redelivered
    room.recent.flush()
    assert room.contexts.clicked() == ("i1", "i2", "i0")


def test_only_wanted_clicks_of_known_people_on_known_deliveries_tell_anything(room: Room) -> None:
    slate = new_slate()
    nobody, of_unit = replace(slate, user=NOBODY, unit=NOBODY), replace(slate, user=NOBODY)
    room.see(slate, event(slate, 1, "impression"), event(slate, 1, unwanted="bot"), event(slate, 4), event(slate, 0))
    room.see(nobody, event(nobody))
    room.see(of_unit, event(of_unit))
    room.recent.see([event(slate)], {})
    room.recent.see([event(slate)], {slate.request_id: None})
    room.recent.flush()
    assert room.contexts.find([USER, slate.unit, NOBODY]) == {}


def test_clicks_wait_while_the_store_is_away_and_nobody_waits_for_them(room: Room) -> None:
    slate = new_slate()
    room.contexts.fault = Unavailable("the disk is full")
    room.recent.start()
    room.see(slate, event(slate, 1))
    until(lambda: room.contexts.refusals > 1, "it was tried twice")
    room.see(slate, event(slate, 2))
    room.contexts.fault = None
    until(lambda: room.contexts.clicked() == ("i0", "i1"), "both are noted")
    room.recent.stop()


def test_what_waits_is_noted_before_the_end(room: Room) -> None:
    slate = new_slate()
    room.recent.start()
    room.see(slate, *(event(slate, position) for position in (1, 2, 3)))
    room.recent.stop()
    assert room.contexts.clicked() == ("i0", "i1", "i2")


def test_what_cannot_wait_is_dropped_and_counted(room: Room) -> None:
    slate, before = new_slate(), dropped()
    room.recent = room.new_recent(max_waiting=2, retry_s=60.0)
    room.see(slate, *(event(slate, position) for position in (1, 2, 3)))
    assert dropped() == before + 1
    room.contexts.fault = Unavailable("the disk is full")
    room.recent.start()
    until(lambda: room.contexts.refusals > 0, "it was tried")
    room.recent.stop()  # ends although the store is away
    assert dropped() == before + 3


def test_a_fault_in_the_store_costs_its_clicks_and_not_the_thread(room: Room) -> None:
    slate, before = new_slate(), dropped()
    room.contexts.fault = RuntimeError("a bug")
    room.recent.start()
    room.see(slate, event(slate, 1))
    until(lambda: room.contexts.refusals > 0, "it was tried")
    room.contexts.fault = None
    room.see(slate, event(slate, 2))
    room.recent.stop()
    assert room.contexts.clicked() == ("i1",)
    assert dropped() == before + 1


def test_of_the_forgotten_only_what_was_served_later_is_noted(room: Room) -> None:
    before, after = new_slate(START), new_slate(START + 10)
    room.see(before, event(before, 1))
    room.see(after, event(after, 2))
    room.forgotten.forget([USER], START + 5)
    room.recent.flush()
    assert room.contexts.clicked() == ("i1",)


def test_old_clicks_are_forgotten_in_time(room: Room) -> None:
    slate = new_slate()
    room.see(slate, event(slate, 1))
    room.recent.flush()
    room.clock.move(START + KEEP_S + 100)
    room.recent.start()
    later = new_slate(START + KEEP_S + 100)
    room.see(later, event(later, 2, received_at=START + KEEP_S + 100))
    until(lambda: room.contexts.clicked() == ("i1",), "the old one is gone")
    room.recent.stop()
