from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing

import pytest

from gateway.recommenders.coalescing import Coalescer, Waiting


class Line:
    """Where batches are sent; each call is answered when the test says so."""

    def __init__(self, most: int = 3, calls: int = 2) -> None:
        self.batches: list[list[str]] = []
        self.late: list[str] = []
        self.coalescer: Coalescer[str, str] = Coalescer(self._send, self._is_late, most, calls)
        self._calls: list[asyncio.Future[Sequence[str | Exception]]] = []

    async def _send(self, batch: Sequence[Waiting[str, str]]) -> Sequence[str | Exception]:
        self.batches.append([waiting.question for waiting in batch])
        self._calls.append(asyncio.get_running_loop().create_future())
        return await self._calls[-1]

    def _is_late(self, question: str, answer: str) -> None:
        self.late.append(f"{question}: {answer}")

    def answer(self, call: int, fault: Exception | None = None) -> None:
        if fault is not None:
            self._calls[call].set_exception(fault)
        else:
            self._calls[call].set_result([question.upper() for question in self.batches[call]])

    def ask(self, *questions: str, timeout_s: float = 30.0) -> list[asyncio.Future[str]]:
        return [self.coalescer.ask(question, timeout_s) for question in questions]


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def on_loop(work: Callable[[Line], Awaitable[None]]) -> None:
    async def run() -> None:
        await work(Line())

    with closing(asyncio.new_event_loop()) as loop:  # `asyncio.run` would leave the thread without one
        loop.run_until_complete(asyncio.wait_for(run(), 20))


def test_a_lone_question_is_sent_at_once_and_what_comes_meanwhile_goes_together() -> None:
    async def work(line: Line) -> None:
        (a,) = line.ask("a")
        await turn()
        assert line.batches == [["a"]]
        line.ask("b")
        await turn()
        rest = line.ask("c", "d", "e", "f")
        await turn()
        assert line.batches == [["a"], ["b"]]
        assert line.coalescer.depth == 4
        line.answer(0)
        assert await a == "A"
        await turn()
        assert line.batches[2:] == [["c", "d", "e"]]
        line.answer(1)
        line.answer(2)
        assert await asyncio.gather(*rest[:3]) == ["C", "D", "E"]
        await turn()
        assert line.batches[3:] == [["f"]]

    on_loop(work)


def test_a_failed_call_fails_those_it_carried_and_no_other() -> None:
    async def work(line: Line) -> None:
        (a,) = line.ask("a")
        await turn()
        (b,) = line.ask("b")
        await turn()
        line.answer(0, RuntimeError("broken"))
        with pytest.raises(RuntimeError, match="broken"):
            await a
        line.answer(1)
        assert await b == "B"

    on_loop(work)


def test_each_question_expires_at_its_own_deadline_whichever_was_asked_first() -> None:
    async def work(line: Line) -> None:
        (patient,) = line.ask("patient")
        (hasty,) = line.ask("hasty", timeout_s=0.01)
        with pytest.raises(TimeoutError):
            await hasty
        assert not patient.done()
        line.answer(0)
        assert await patient == "PATIENT"
        await turn()
        assert line.late == ["hasty: HASTY"]

    on_loop(work)


def test_what_expired_before_it_was_sent_is_not_sent() -> None:
    async def work(line: Line) -> None:
        line.ask("a")
        await turn()
        line.ask("b")
        await turn()
        (late,) = line.ask("late", timeout_s=0.01)
        line.ask("c")
        with pytest.raises(TimeoutError):
            await late
        assert line.coalescer.age_s > 0
        line.answer(0)
        await turn()
        assert line.batches[2:] == [["c"]]
        assert (line.coalescer.depth, line.coalescer.age_s, line.late) == (0, 0.0, [])

    on_loop(work)
