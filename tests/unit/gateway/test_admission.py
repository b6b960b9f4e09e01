from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing

import pytest

from gateway import admission
from gateway.admission import Admission


def on_loop(work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await work()

    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(asyncio.wait_for(run(), 20))


async def waiting(door: Admission, count: int) -> list[asyncio.Task[bool]]:
    tasks = [asyncio.create_task(door.wait()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def test_has_room_for_so_many_and_for_another_when_one_has_left() -> None:
    door = Admission(2)
    assert [door.enter() for _ in range(4)] == [True, True, False, False]
    assert door.in_flight == 2
    door.leave()
    assert door.in_flight == 1
    assert [door.enter() for _ in range(2)] == [True, False]


def test_a_free_place_goes_to_who_has_waited_longest() -> None:
    async def work() -> None:
        door = Admission(1)
        assert door.enter()
        first, second = await waiting(door, 2)
        door.leave()
        assert await first
        assert not second.done()
        assert not door.enter()
        door.leave()
        assert await second
        door.leave()
        assert door.inside == 0

    on_loop(work)


def test_no_more_wait_than_are_let_in_soon() -> None:
    async def work() -> None:
        door = Admission(2)
        assert door.enter()
        assert door.enter()
        tasks = await waiting(door, 2 * 16 + 3)
        assert [task.done() for task in tasks] == [False] * 32 + [True] * 3
        assert not any([await task for task in tasks[32:]])
        for _ in range(34):
            door.leave()
        assert all([await task for task in tasks[:32]])
        assert door.inside == 0

    on_loop(work)


def test_who_has_waited_for_too_long_is_told_so_and_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        door = Admission(1)
        assert door.enter()
        (late,) = await waiting(door, 1)
        monkeypatch.setattr(admission, "PATIENCE_S", -1.0)
        door.leave()
        assert not await late
        assert (door.inside, door.enter()) == (0, True)

    on_loop(work)


def test_who_goes_away_while_waiting_takes_no_place_with_them() -> None:
    async def work() -> None:
        door = Admission(1)
        assert door.enter()
        gone, given = await waiting(door, 2)
        gone.cancel()
        await asyncio.sleep(0)
        door.leave()
        given.cancel()  # before it hears that the place is its own
        await asyncio.gather(gone, given, return_exceptions=True)
        assert door.inside == 0

    on_loop(work)
