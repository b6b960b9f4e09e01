"""Steady traffic of a storefront: slates asked for by the clock, and the events of who saw and clicked them."""

from __future__ import annotations

import asyncio
import heapq
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from benchmarks.connection import Connection, request

SLOTS = 10
CLICK_SHARE = 0.1
# The first after the answer, the second after the first.
IMPRESSION_S, CLICK_S = 0.2, 1.0
_CONNECTIONS = 8
_BEAT_S = 0.05
_BATCH = 200
_DEVICES = ("ios", "android", "web", "tv")

Planned: TypeAlias = tuple[float, str, str]


@dataclass(slots=True)
class Traffic:
    """Asks and clicks at a rate that does not depend on the answers.

    `first_seen` says when each model version was first in an answer. Units: events per second, Unix seconds.
    """

    gateway_url: str
    tracking_url: str
    events_per_s: float
    slates: int = 0
    fallbacks: int = 0
    errors: int = 0
    accepted: int = 0
    clicks: int = 0
    first_seen: dict[str, float] = field(default_factory=dict)
    _planned: list[Planned] = field(default_factory=list)
    _rng: random.Random = field(default_factory=lambda: random.Random(1))

    async def run(self, seconds: float) -> None:
        """Keep it up for `seconds`, then send the events that are still planned."""
        slates_per_s = self.events_per_s / (SLOTS * (1 + CLICK_SHARE))
        visits = asyncio.create_task(self._visit(slates_per_s, seconds))
        async with asyncio.TaskGroup() as senders:
            senders.create_task(self._send(visits.done))
            await visits

    async def look(self, is_over: Callable[[], bool], per_s: float = 20.0) -> None:
        """Only ask, so that what is served is seen, until `is_over`."""
        connection = await Connection.to(self.gateway_url)
        while not is_over():
            await self._ask(connection)
            await asyncio.sleep(1 / per_s)
        connection.close()

    async def _visit(self, slates_per_s: float, seconds: float) -> None:
        due = iter(range(round(slates_per_s * seconds)))
        started = time.monotonic()

        async def worker() -> None:
            connection = await Connection.to(self.gateway_url)
            for number in due:
                await asyncio.sleep(started + number / slates_per_s - time.monotonic())
                self._plan(await self._ask(connection))
            connection.close()

        await asyncio.gather(*(worker() for _ in range(_CONNECTIONS)))

    async def _ask(self, connection: Connection) -> list[str]:
        """The delivery IDs of one more slate."""
        device = _DEVICES[self.slates % len(_DEVICES)]
        ask = {"placement": "home-top", "anonymous_id": f"a{self.slates % 9973}", "context": {"device": device}}
        body = json.dumps({**ask, "limit": SLOTS}).encode()
        status, answer = await connection.send(request(self.gateway_url, "/v1/recommendations", body))
        self.slates += 1
        if status != 200:
            self.errors += 1
            return []
        slate = json.loads(answer)
        self.fallbacks += slate["fallback"]
        self.first_seen.setdefault(slate["model_version"] or "", time.time())
        return [item["delivery_id"] for item in slate["items"]]

    def _plan(self, delivery_ids: list[str]) -> None:
        seen_at = time.monotonic() + IMPRESSION_S
        for delivery_id in delivery_ids:
            heapq.heappush(self._planned, (seen_at, "impression", delivery_id))
            if self._rng.random() < CLICK_SHARE:
                heapq.heappush(self._planned, (seen_at + CLICK_S, "click", delivery_id))

    async def _send(self, is_last: Callable[[], bool]) -> None:
        """Send what is due, some 50 events at a time at 1,000 events/s."""
        connection = await Connection.to(self.tracking_url)
        while self._planned or not is_last():
            due: list[Planned] = []
            while self._planned and self._planned[0][0] <= time.monotonic() and len(due) < _BATCH:
                due.append(heapq.heappop(self._planned))
            if due:
                await self._post(connection, due)
            if len(due) < _BATCH:
                await asyncio.sleep(_BEAT_S)
        connection.close()

    async def _post(self, connection: Connection, due: list[Planned]) -> None:
        events = [{"delivery_id": delivery_id, "type": kind} for _, kind, delivery_id in due]
        body = json.dumps({"events": events}).encode()
        status, answer = await connection.send(request(self.tracking_url, "/v1/events", body))
        accepted = json.loads(answer)["accepted"] if status == 202 else 0
        self.errors += len(due) - accepted
        self.accepted += accepted
        if accepted == len(due):
            self.clicks += sum(kind == "click" for _, kind, _ in due)
