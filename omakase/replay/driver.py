"""Drives a log through the running services: asks for every row, and tells them of the rows that matched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import Unavailable
from omakase.core.events import CLICK, IMPRESSION
from omakase.replay.log import SLOTS, Log

GROUP = 16
"""Rows that are asked for at once. They share one time, the newest of them."""
LESSON = 512
"""Rows after which the replay waits until what they taught is served."""
_ATTEMPTS = 5
_RETRY_S = 0.5
_REQUEST_S = 30.0
_RETRIED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE})


class MovableClock(Protocol):
    """The services' clock, which the replay moves."""

    def move(self, to: float) -> float:
        """Go forward to `to`; returns the time it is then. Units: Unix seconds."""


@dataclass(slots=True)
class Served:
    """What one placement did with the rows it was asked for.

    Shapes: is_match (rows,), whether our slate had the logged item at the logged position.
    """

    is_match: NDArray[np.bool_]
    fallbacks: int = 0
    model_versions: set[str] = field(default_factory=set)

    def note(self, row: int, answer: Mapping[str, Any], *, is_match: bool) -> None:
        """Take down one answer."""
        self.is_match[row] = is_match
        self.fallbacks += bool(answer["fallback"])
        if answer["model_version"]:
            self.model_versions.add(str(answer["model_version"]))


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the running services listen."""

    gateway_url: str
    tracking_url: str


@dataclass(frozen=True, slots=True)
class Course:
    """What is to be driven: the first `rows` rows of a log, on every placement.

    `seed` names the rows' visitors; `lesson` is after how many rows, a multiple of GROUP, the services catch up.
    """

    log: Log
    item_ids: Sequence[str]
    rows: int
    placements: Sequence[str]
    seed: int
    lesson: int = LESSON

    def request(self, row: int, placement: str) -> dict[str, Any]:
        """What a storefront would ask. The log has no people in it, so every row is somebody new."""
        visitor = f"replay-{self.seed}-{row}"
        context = self.log.context(row)
        return {"placement": placement, "anonymous_id": visitor, "context": context, "limit": SLOTS}

    def match(self, row: int, answer: Mapping[str, Any]) -> str | None:
        """The delivery ID of the logged item if the answer shows it at the logged position."""
        logged = {"item_id": self.item_ids[self.log.item[row]], "position": int(self.log.position[row])}
        matches = (item for item in answer["items"] if all(item[key] == value for key, value in logged.items()))
        return next((str(item["delivery_id"]) for item in matches), None)

    def events(self, row: int, delivery_id: str) -> list[dict[str, str]]:
        """What happened to a matched row; named, so that a repeated post counts once."""
        kinds = (IMPRESSION, CLICK) if self.log.click[row] else (IMPRESSION,)
        return [{"delivery_id": delivery_id, "type": kind, "event_id": f"{row}-{kind}"} for kind in kinds]


async def drive(
    course: Course,
    endpoints: Endpoints,
    clock: MovableClock,
    catch_up: Callable[[], Awaitable[None]],
    on_progress: Callable[[int], None],
) -> dict[str, Served]:
    """Serve the course in the order of time, and say what each placement did.

    A matched row's impression, and its click if the log has one, are posted before the clock moves on: the policy
    learns from matched rows alone, and each match is one draw of the policy as it was at that moment. That keeps
    1[match] / p unbiased while it learns (Li et al., WSDM 2011). After every lesson it waits for `catch_up`, so
    that what is learnt depends on the log and not on how fast this machine is.

    Raises: Unavailable if a service stays away, or refuses what this driver sends.
    """
    served = {placement: Served(np.zeros(course.rows, dtype=np.bool_)) for placement in course.placements}
    timeout = aiohttp.ClientTimeout(total=_REQUEST_S)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
        for start in range(0, course.rows, GROUP):
            if start and start % course.lesson == 0:
                await catch_up()
            group = range(start, min(start + GROUP, course.rows))
            clock.move(float(course.log.at[group[-1]]))
            asked = [(row, placement) for row in group for placement in course.placements]
            url = f"{endpoints.gateway_url}/v1/recommendations"
            answers = await asyncio.gather(*(_post(http, url, course.request(row, where)) for row, where in asked))
            events: list[dict[str, str]] = []
            for (row, placement), answer in zip(asked, answers, strict=True):
                delivery_id = course.match(row, answer)
                served[placement].note(row, answer, is_match=delivery_id is not None)
                if delivery_id is not None:
                    events += course.events(row, delivery_id)
            if events:
                await _tell(http, endpoints, events)
            on_progress(len(group))
    return served


async def _tell(http: aiohttp.ClientSession, endpoints: Endpoints, events: list[dict[str, str]]) -> None:
    answer = await _post(http, f"{endpoints.tracking_url}/v1/events", {"events": events})
    if answer["rejected"]:
        raise Unavailable(f"tracking rejected events of the replay: {answer['rejected'][0]}")


async def _post(http: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request that may be repeated. Raises: Unavailable."""
    fault = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            await asyncio.sleep(_RETRY_S * attempt)
        try:
            async with http.post(url, json=body) as answer:
                if answer.status < HTTPStatus.BAD_REQUEST:
                    found: dict[str, Any] = await answer.json()
                    return found
                fault = f"{answer.status} {(await answer.text())[:300]}"
                if answer.status not in _RETRIED:
                    break
        except (aiohttp.ClientError, TimeoutError) as error:
            fault = repr(error)
    raise Unavailable(f"{url} did not answer the replay: {fault}")
