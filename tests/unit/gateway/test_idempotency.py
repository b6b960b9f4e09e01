"""The same answer to the same request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.idempotency import MAX_KEY, Answers
from omakase.core.errors import InvalidInput, Unavailable

NAME = ("shop", b"k1")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Work:
    """Makes another answer every time, once it may go on."""

    def __init__(self) -> None:
        self.calls = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.fault: Exception | None = None

    async def __call__(self) -> bytes:
        self.calls += 1
        number = self.calls
        await self.may_go_on.wait()
        if self.fault is not None:
            raise self.fault
        return b"answer %d" % number


def played(play: Callable[[Answers, Work, Clock], Awaitable[None]], **bounds: float) -> None:
    async def run() -> None:
        clock = Clock()
        await play(Answers(now=clock, **bounds), Work(), clock)  # type: ignore[arg-type]

    asyncio.run(run())


def test_a_repeated_request_is_not_worked_on_again():
    async def play(answers: Answers, work: Work, clock: Clock) -> None:
        assert [await answers.of(NAME, b"body", work) for _ in range(3)] == [b"answer 1"] * 3
        assert await answers.of(("another shop", b"k1"), b"body", work) == b"answer 2"
        assert await answers.of(("shop", b"k2"), b"body", work) == b"answer 3"

    played(play)


def test_requests_that_come_at_once_share_one_answer():
    async def play(answers: Answers, work: Work, clock: Clock) -> None:
        work.may_go_on.clear()
        asked = [asyncio.create_task(answers.of(NAME, b"body", work)) for _ in range(5)]
        await asyncio.sleep(0)
        work.may_go_on.set()
        assert set(await asyncio.gather(*asked)) == {b"answer 1"}
        assert work.calls == 1

    played(play)


def test_another_request_under_the_same_key_is_refused():
    async def play(answers: Answers, work: Work, clock: Clock) -> None:
        await answers.of(NAME, b"body", work)
        with pytest.raises(InvalidInput, match="another request"):
            await answers.of(NAME, b"another body", work)

    played(play)


def test_a_request_that_failed_may_be_tried_again():
    async def play(answers: Answers, work: Work, clock: Clock) -> None:
        work.fault = Unavailable("starting")
        with pytest.raises(Unavailable):
            await answers.of(NAME, b"body", work)
        work.fault = None
        assert await answers.of(NAME, b"another body", work) == b"answer 2"

    played(play)


def test_answers_are_forgotten_after_a_while_and_the_oldest_where_there_are_too_many():
    async def play(answers: Answers, work: Work, clock: Clock) -> None:
        for key in (b"a", b"b", b"c"):
            await answers.of(("shop", key), b"body", work)
        assert await answers.of(("shop", b"c"), b"body", work) == b"answer 3"
        assert await answers.of(("shop", b"a"), b"body", work) == b"answer 4"
        clock.now = 11.0
        assert await answers.of(("shop", b"a"), b"body", work) == b"answer 5"

    played(play, keep_s=10.0, most=2)


@pytest.mark.parametrize("key", [b"", b"k" * (MAX_KEY + 1)])
def test_a_key_without_a_sensible_length_is_refused(key):
    async def play(answers: Answers, work: Work, clock: Clock) -> None:
        with pytest.raises(InvalidInput, match="Idempotency-Key"):
            await answers.of(("shop", key), b"body", work)
        assert work.calls == 0

    played(play)
