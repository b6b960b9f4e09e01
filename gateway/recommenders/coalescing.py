"""Many questions, few calls: what is asked while calls are under way goes along with the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeAlias, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_numbers = count()  # of two questions with one deadline neither is the smaller

# A call costs about as much as so many answers.
_FEW = 8


@dataclass(frozen=True, slots=True, eq=False)
class Waiting(Generic[Question, Answer]):
    """One question, from when until when its answer is of use, and where it goes. Units: the loop's time."""

    question: Question
    asked_at: float
    deadline: float
    answer: asyncio.Future[Answer]


Send: TypeAlias = Callable[[Sequence[Waiting[Question, Answer]]], Awaitable[Sequence[Answer | Exception]]]


@dataclass(slots=True, eq=False)
class Coalescer(Generic[Question, Answer]):
    """Collects questions into batches of at most `most`, with at most `calls` of them under way.

    A question that comes while fewer are under way is sent at once, together with what came in the same turn of the
    event loop; no question waits for others to come. Two calls suffice: one side works on the one while the other side
    works on the other. `calls` may change at any time.

    Guarantees: every question is answered, fails, or expires with TimeoutError at its deadline; a failed call fails
    those that it carried and no other. What comes after its deadline is given to `late`.
    """

    send: Send[Question, Answer]
    late: Callable[[Question, Answer], None]
    most: int = 32
    calls: int = 2
    _waiting: deque[Waiting[Question, Answer]] = field(default_factory=deque, init=False)
    _asked: list[tuple[float, int, Waiting[Question, Answer]]] = field(default_factory=list, init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _under_way: int = field(default=0, init=False)
    _is_due: bool = field(default=False, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def ask(self, question: Question, timeout_s: float) -> asyncio.Future[Answer]:
        """Raises, later: TimeoutError, or what `send` raises or returns for it."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        waiting = Waiting(question, now, now + timeout_s, loop.create_future())
        self._waiting.append(waiting)
        heappush(self._asked, (waiting.deadline, next(_numbers), waiting))
        if self._timer is None or waiting.deadline < self._timer.when():
            self._watch(loop)
        self._look(loop)
        return waiting.answer

    @property
    def depth(self) -> int:
        """How many questions have not been sent yet."""
        return len(self._waiting)

    @property
    def age_s(self) -> float:
        """For how long the oldest question that has not been sent yet has waited."""
        return asyncio.get_running_loop().time() - self._waiting[0].asked_at if self._waiting else 0.0

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and not self._is_due and self._under_way < self.calls:
            self._is_due = True
            loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._is_due = False
        free = self.calls - self._under_way
        if free <= 0:  # fewer may be under way than a moment ago; the next that ends begins again
            return
        batch: list[Waiting[Question, Answer]] = []
        # Shared out among the calls that are free, so that one is worked on while another travels; few go together.
        share = max(_FEW, -(-len(self._waiting) // free))
        while self._waiting and len(batch) < min(share, self.most):
            waiting = self._waiting.popleft()
            if not waiting.answer.done():  # expired, or its caller has gone
                batch.append(waiting)
        if not batch:
            return
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._call(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._under_way += 1
        self._look(loop)

    async def _call(self, batch: Sequence[Waiting[Question, Answer]]) -> None:
        try:
            answers = await self.send(batch)
        except Exception as error:
            answers = [error] * len(batch)
        self._under_way -= 1
        if self._waiting and not self._is_due:
            self._begin()  # before the answers are handed out: the other side is not to wait for this one
        for waiting, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                if not waiting.answer.done():
                    waiting.answer.set_exception(answer)
            elif waiting.answer.done():
                self.late(waiting.question, answer)
            else:
                waiting.answer.set_result(answer)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._asked and (self._asked[0][2].answer.done() or self._asked[0][0] <= now):
            waiting = heappop(self._asked)[2]
            if not waiting.answer.done():
                waiting.answer.set_exception(TimeoutError("not answered in time"))
        self._timer = None
        if self._asked:
            self._watch(loop)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all: at the first deadline."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._asked[0][0], self._expire)
