from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from omakase.core.errors import Unavailable
from omakase.serving.refresher import Refresher


class Source:
    """A loader that does what the next entry says: raise it, or return it."""

    def __init__(self, *script: object) -> None:
        self._script = list(script)
        self.calls: list[object] = []

    def __call__(self, current: object) -> object:
        self.calls.append(current)
        entry = self._script.pop(0)
        if isinstance(entry, Exception):
            raise entry
        return entry


def after(source: Source, polls: int) -> Refresher[object]:
    async def poll() -> Refresher[object]:
        refresher: Refresher[object] = Refresher(source, 1.0, "shelf")
        for _ in range(polls):
            await refresher.refresh()
        return refresher

    return asyncio.run(poll())


def test_hands_the_current_state_to_the_loader_and_keeps_what_it_returns():
    source = Source("first", "second", "second")
    assert after(source, 3).current == "second"
    assert source.calls == [None, "first", "second"]


@pytest.mark.parametrize("fault", [Unavailable("away"), ZeroDivisionError("a bug")])
def test_keeps_the_last_good_state_through_any_fault_and_goes_on_polling(fault):
    source = Source("first", fault, "second")
    assert after(Source("first", fault), 2).current == "first"
    assert after(source, 3).current == "second"


def test_tells_of_a_fault_once_when_it_comes_and_once_when_it_has_gone(caplog):
    caplog.set_level(logging.INFO)
    after(Source("first", *[Unavailable("away")] * 3, "second", "third"), 6)
    assert [(r.levelname, r.message) for r in caplog.records if r.name.endswith("refresher")] == [
        ("ERROR", "cannot refresh the shelf, the last one goes on serving: away"),
        ("INFO", "the shelf is fresh again"),
    ]


def test_is_ready_only_after_the_first_good_state():
    async def poll() -> tuple[bool, bool]:
        refresher: Refresher[object] = Refresher(Source(Unavailable("away"), "first"), 1.0, "shelf")
        ready = asyncio.ensure_future(refresher.ready())
        await refresher.refresh()
        before = ready.done()
        await refresher.refresh()
        await asyncio.wait_for(ready, 5)
        return before, ready.done()

    assert asyncio.run(poll()) == (False, True)


def test_what_the_loader_before_was_still_loading_is_dropped():
    started, may_end = threading.Event(), threading.Event()

    def slow(_: str | None) -> str:
        started.set()
        may_end.wait(5.0)
        return "old"

    async def follow() -> list[str | None]:
        refresher = Refresher(slow, 0.01, "shelf")
        refreshing = asyncio.create_task(refresher.refresh())
        await asyncio.to_thread(started.wait, 5.0)
        refresher.follow(lambda current: f"{current}er", "new")
        may_end.set()
        await refreshing
        found = [refresher.current]
        await refresher.refresh()
        return [*found, refresher.current]

    assert asyncio.run(follow()) == ["new", "newer"]
