"""Storefronts under load that keep their own books."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any, Self
from urllib.parse import urlsplit

TIMEOUT_S = 20.0


@dataclass(slots=True)
class Books:
    """What one storefront saw. An outcome is unknown where a connection was cut before the answer.

    `seen` and `clicked` are deliveries that there is something to learn from: those of a fallback are not among them.
    """

    answers: int = 0
    fallbacks: int = 0
    cut: int = 0
    failures: list[str] = field(default_factory=list)
    accepted: int = 0
    unknown: int = 0
    seen: set[str] = field(default_factory=set)
    clicked: set[str] = field(default_factory=set)

    def add(self, other: Books) -> None:
        self.answers += other.answers
        self.fallbacks += other.fallbacks
        self.cut += other.cut
        self.failures += other.failures
        self.accepted += other.accepted
        self.unknown += other.unknown
        self.seen |= other.seen
        self.clicked |= other.clicked


class Traffic:
    """A few storefronts at once, each one request after the other, until the end of the block.

    A request that is cut is sent once more; if that fails too, it is a failure.
    """

    def __init__(self, gateway_url: str, tracking_url: str, storefronts: int = 4, pause_s: float = 0.02) -> None:
        self.books = Books()
        self._gateway, self._tracking = gateway_url, tracking_url
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._shop, args=(seed,)) for seed in range(storefronts)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    def answers(self) -> int:
        with self._lock:
            return self.books.answers

    def _shop(self, seed: int) -> None:
        random = Random(seed)
        visit = 0
        while not self._stopping.wait(self._pause_s):
            visit += 1
            books = Books()
            self._visit(random, f"s{seed}-{visit % 50}", books)
            with self._lock:
                self.books.add(books)

    def _visit(self, random: Random, person: str, books: Books) -> None:
        ask = {"placement": "home-top", "anonymous_id": person, "context": {}}
        answer = self._send(self._gateway, "/v1/recommendations", ask, books)
        if answer is None:
            return
        books.answers += 1
        books.fallbacks += answer["fallback"]
        events = [{"delivery_id": item["delivery_id"], "type": "impression"} for item in answer["items"]]
        if random.random() < 0.3:
            events.append({"delivery_id": answer["items"][0]["delivery_id"], "type": "click"})
        cut_before = books.cut
        tracked = self._send(self._tracking, "/v1/events", {"events": events}, books)
        if tracked is None:
            books.unknown += len(events) * (1 + books.cut - cut_before)
            return
        books.accepted += tracked["accepted"]
        books.unknown += len(events) * (books.cut - cut_before)
        if answer["fallback"]:
            return
        books.seen |= {event["delivery_id"] for event in events}
        books.clicked |= {event["delivery_id"] for event in events if event["type"] == "click"}

    def _send(self, url: str, path: str, body: dict[str, Any], books: Books) -> dict[str, Any] | None:
        for attempt in (1, 2):
            try:
                status, answer = post(url, path, body)
            except (OSError, http.client.HTTPException) as error:
                books.cut += 1
                if attempt == 2:
                    books.failures.append(f"{path}: {error!r}")
                continue
            if status in (200, 202):
                return answer
            books.failures.append(f"{path}: {status} {answer}")
            return None
        return None


def post(url: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def wait_until(is_true: Any, what: str, within_s: float = 30.0) -> None:
    """Wait for a condition, not for a time."""
    deadline = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < deadline, f"still waiting until {what}"
        threading.Event().wait(0.05)
