"""How many requests are worked on at once. More of them at a time are not answered faster, only later all together."""

from __future__ import annotations

import asyncio
from collections import deque

# Who has waited for longer than this has gone, or asks again: to answer them would make the others late as well.
PATIENCE_S = 1.0
# How many wait for each that is inside.
_WAITING = 16


class Admission:
    """A bound on what is inside, and a bounded queue before it, in order of coming.

    A recommender is asked within its deadline only if little is between its answer and the next turn of the event loop.
    Guarantees: no more than `most` are inside; who waits is told within `PATIENCE_S` of a place that becomes free.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: deque[tuple[float, asyncio.Future[bool]]] = deque()
        self.inside = 0

    @property
    def in_flight(self) -> int:
        """How many are inside or wait to be."""
        return self.inside + len(self._places)

    def enter(self) -> bool:
        """Whether there is room for one more; if so, it is inside until it calls `leave`."""
        if self.inside >= self._most:
            return False
        self.inside += 1
        return True

    async def wait(self) -> bool:
        """The same, for one that finds no room at once; False where too many wait already, or it took too long."""
        if len(self._places) >= _WAITING * self._most:
            return False
        loop = asyncio.get_running_loop()
        place: asyncio.Future[bool] = loop.create_future()
        self._places.append((loop.time(), place))
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.leave()  # it was given at that very moment
            raise

    def leave(self) -> None:
        """Gives the place to the next, if somebody waits who has not waited for too long."""
        while self._places:
            since, place = self._places.popleft()
            if place.done():
                continue
            is_in_time = place.get_loop().time() - since <= PATIENCE_S
            place.set_result(is_in_time)
            if is_in_time:
                return
        self.inside -= 1
