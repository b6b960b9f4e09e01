"""Storefronts under load that are careful about what they do not know."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from typing import Any, Self

from tests.fault.matrix.notes import Answer, Notes, Shown, Wish, stamped
from tests.fault.matrix.people import Behaviour, Slate, ordinary
from tests.fault.matrix.shop import PLACEMENT
from tests.fault.matrix.wire import Cut, HungUp, Response, post

_PATIENCE_S = 90.0
_PEOPLE = 200
_SKEW_S = 240.0  # the server takes a client's clock that is at most 300 s ahead
_WRONG_CLOCK_S = 900.0


class Load:
    """Shoppers ask for slates, beacons send what they did with them, each one request after the other.

    What got no 202 is sent again until it does, the same event each time. Leaving the block stops the shoppers and
    returns when every event has its 202; what has none after 90 s is an error in the notes. `behave` may be changed
    while it runs.
    """

    def __init__(
        self,
        gateway_url: str,
        tracking_url: str,
        seed: int,
        shoppers: int = 3,
        beacons: int = 4,
        pause_s: float = 0.05,
        behave: Behaviour = ordinary,
    ) -> None:
        self.notes = Notes()
        self.behave = behave
        self._gateway, self._tracking = gateway_url, tracking_url
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._queue = _Queue()
        randoms = [Random(f"{seed}/{number}") for number in range(shoppers + beacons)]
        self._shoppers = [self._thread(self._shop, random) for random in randoms[:shoppers]]
        self._beacons = [self._thread(self._send_all, random) for random in randoms[shoppers:]]

    def __enter__(self) -> Self:
        for thread in (*self._shoppers, *self._beacons):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._shoppers:
            thread.join()
        self._queue.end(within_s=_PATIENCE_S)
        for thread in self._beacons:
            thread.join()
        if self._queue.left:
            self.notes.complain(f"{self._queue.left} posts got no 202 within {_PATIENCE_S:g} s of the end")

    def _thread(self, work: Callable[[Random], None], random: Random) -> threading.Thread:
        def run() -> None:
            try:
                work(random)
            except Exception as error:  # else a storefront would be missing, and nobody would know
                self.notes.complain(f"a storefront died: {error!r}")

        return threading.Thread(target=run, daemon=True)

    def _shop(self, random: Random) -> None:
        while not self._stopping.wait(self._pause_s * 2 * random.random()):
            answer = self._ask(random)
            if answer is None:
                continue
            items = [(item["item_id"], item["delivery_id"]) for item in answer["items"]]
            is_fallback = answer["fallback"]
            self.notes.show({id_: Shown(item_id, is_fallback) for item_id, id_ in items}, is_fallback=is_fallback)
            for planned in self.behave(random, Slate(answer["variant"], items)):
                self._queue.put(planned.after_s, planned.wishes)

    def _ask(self, random: Random) -> dict[str, Any] | None:
        """A slate; None, and an error in the notes, if a second attempt is cut too or the answer is none."""
        person = f"p{random.randrange(_PEOPLE)}"
        wanted = {"placement": PLACEMENT, "anonymous_id": person, "context": {"device": random.choice(["ios", "web"])}}
        cut: Cut
        for _ in range(2):
            self.notes.count(requests=1)
            try:
                response = post(self._gateway, "/v1/recommendations", wanted)
            except Cut as error:
                self.notes.count(cut=1)
                cut = error
                continue
            if response.status == 200:
                body: dict[str, Any] = response.body
                return body
            self.notes.complain(f"the gateway answered {response.status}: {response.body}")
            return None
        self.notes.complain(f"no slate, twice in a row: {cut}")
        return None

    def _send_all(self, random: Random) -> None:
        while (wishes := self._queue.take()) is not None:
            again_s, left = self._send(random, wishes)
            if left:
                self._queue.put(again_s, left)
            self._queue.done()

    def _send(self, random: Random, wishes: Sequence[Wish]) -> tuple[float, Sequence[Wish]]:
        """Send once. Returns what has to be sent again, and after how long."""
        numbers = self.notes.begin(wishes)
        skew_s = _WRONG_CLOCK_S if random.random() < 0.02 else random.uniform(-_SKEW_S, _SKEW_S)
        stamps = [stamped(time.time() + skew_s, number) for number in numbers]
        events = [_event(wish, at) for wish, at in zip(wishes, stamps, strict=True)]
        self.notes.count(requests=1)
        try:
            response = post(self._tracking, "/v1/events", {"events": events}, hang_up=random.random() < 0.05)
        except HungUp:
            return random.random(), wishes
        except Cut:
            self.notes.count(cut=1)
            return 0.1 + random.random(), wishes
        if response.status == 503:
            return self._put_off(response), wishes
        if response.status != 202:
            self.notes.complain(f"tracking answered {response.status}: {response.body}")
            return 0.0, ()
        return 0.0, self._settle(numbers, wishes, response.body["rejected"], is_wrong=skew_s == _WRONG_CLOCK_S)

    def _put_off(self, response: Response) -> float:
        self.notes.count(refused=1)
        retry_after = {name.lower(): value for name, value in response.headers.items()}.get("retry-after", "")
        if not retry_after.isdigit():
            self.notes.complain("tracking answered 503 without a Retry-After")
            return 1.0
        return float(retry_after)

    def _settle(
        self, numbers: Sequence[int], wishes: Sequence[Wish], rejected: Sequence[dict[str, Any]], *, is_wrong: bool
    ) -> list[Wish]:
        """Note what a 202 says. Returns the events that a wrong clock got rejected: they go again, by another clock."""
        reasons = {entry["index"]: entry["reason"] for entry in rejected}
        left = []
        for index, (number, wish) in enumerate(zip(numbers, wishes, strict=True)):
            if index not in reasons:
                self.notes.learn(number, Answer.ACCEPTED)
                continue
            self.notes.learn(number, Answer.REFUSED)
            left.append(wish)
            if not is_wrong or reasons[index] != "occurred_at_out_of_range":
                self.notes.complain(f"tracking rejected {wish}: {reasons[index]}")
                left.pop()
        return left


class _Queue:
    """Posts by the time they are due."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, Sequence[Wish]]] = []
        self._numbers = count()
        self._busy = 0
        self._ends_at: float | None = None

    @property
    def left(self) -> int:
        return len(self._waiting)

    def put(self, after_s: float, wishes: Sequence[Wish]) -> None:
        with self._changed:
            heapq.heappush(self._waiting, (time.monotonic() + after_s, next(self._numbers), wishes))
            self._changed.notify()

    def take(self) -> Sequence[Wish] | None:
        """The next post that is due; None when none is left after the end, or time is up. Call `done` after it."""
        with self._changed:
            while True:
                now = time.monotonic()
                if self._ends_at is not None and (now > self._ends_at or not (self._waiting or self._busy)):
                    return None
                due_at = self._waiting[0][0] if self._waiting else now + 0.1
                if self._waiting and due_at <= now:
                    self._busy += 1
                    return heapq.heappop(self._waiting)[2]
                self._changed.wait(min(due_at - now, 0.1))

    def done(self) -> None:
        with self._changed:
            self._busy -= 1

    def end(self, within_s: float) -> None:
        with self._changed:
            self._ends_at = time.monotonic() + within_s


def _event(wish: Wish, occurred_at: float) -> dict[str, object]:
    event: dict[str, object] = {"delivery_id": wish.delivery_id, "type": wish.type, "occurred_at": occurred_at}
    return event | ({"event_id": wish.event_id} if wish.event_id else {})
