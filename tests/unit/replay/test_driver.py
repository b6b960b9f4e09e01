"""The driver against a scripted storefront API: faults are part of the script, so the services cannot stand in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from omakase.core.errors import Unavailable
from omakase.replay import driver
from omakase.replay.driver import GROUP, Course, Endpoints, Served, drive
from omakase.replay.generate import generate
from omakase.replay.items import read_items
from omakase.replay.log import Log, read_log

ROWS = 2 * GROUP + 3


class Clock:
    def __init__(self) -> None:
        self.moves: list[float] = []

    def move(self, to: float) -> float:
        self.moves.append(to)
        return to


class Script:
    """Answers every request with one slate; `failures` are statuses that come first."""

    def __init__(self, slate: Sequence[str], failures: Sequence[int] = (), rejected: Sequence[object] = ()) -> None:
        self.slate, self.failures, self.rejected = slate, list(failures), list(rejected)
        self.requests: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.lessons: list[int] = []

    async def catch_up(self) -> None:
        self.lessons.append(len({asked["anonymous_id"] for asked in self.requests}))

    async def recommend(self, request: web.Request) -> web.Response:
        if self.failures:
            return web.Response(status=self.failures.pop(), text="away")
        asked = await request.json()
        self.requests.append(asked)
        items = [
            {"item_id": item, "position": i, "delivery_id": f"{asked['anonymous_id']}/{i}"}
            for i, item in enumerate(self.slate, start=1)
        ]
        return web.json_response({"items": items, "fallback": True, "model_version": "m1"})

    async def take(self, request: web.Request) -> web.Response:
        self.events += (await request.json())["events"]
        return web.json_response({"accepted": 1, "rejected": self.rejected}, status=202)


@pytest.fixture
def course(tmp_path: Path) -> Course:
    files = generate(tmp_path, 200, seed=1, base_rate=0.3, items=4)
    item_ids = [item.item_id for item in read_items(files.items)]
    return Course(read_log(files.log, item_ids), item_ids, ROWS, ("home",), seed=5, lesson=GROUP)


def run(course: Course, script: Script, clock: Clock) -> dict[str, Served]:
    async def main() -> dict[str, Served]:
        app = web.Application()
        app.router.add_post("/v1/recommendations", script.recommend)
        app.router.add_post("/v1/events", script.take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        url = f"http://{host}:{port}"
        try:
            return await drive(course, Endpoints(url, url), clock, script.catch_up, lambda done: None)
        finally:
            await runner.cleanup()

    return asyncio.run(main())


def matches(log: Log, slate: Sequence[str], item_ids: Sequence[str]) -> list[int]:
    return [row for row in range(ROWS) if slate[log.position[row] - 1] == item_ids[log.item[row]]]


def test_waits_after_every_lesson_until_it_is_learnt(course: Course) -> None:
    script = Script(["0", "1", "2"])
    run(course, script, Clock())
    assert script.lessons == [GROUP, 2 * GROUP]


def test_matched_rows_and_only_those_are_told_with_their_clicks(course: Course) -> None:
    script, slate = Script(["0", "1", "2"]), ["0", "1", "2"]
    served = run(course, script, Clock())["home"]
    expected = matches(course.log, slate, course.item_ids)
    assert list(np.flatnonzero(served.is_match)) == expected
    told = {(event["event_id"], event["delivery_id"], event["type"]) for event in script.events}
    of = {row: f"replay-5-{row}/{course.log.position[row]}" for row in expected}
    clicked = [row for row in expected if course.log.click[row]]
    assert clicked
    assert told == {(f"{row}-impression", of[row], "impression") for row in expected} | {
        (f"{row}-click", of[row], "click") for row in clicked
    }
    assert (served.fallbacks, served.model_versions) == (ROWS, {"m1"})


def test_every_row_is_asked_once_with_its_context_and_the_clock_of_its_group(course: Course) -> None:
    script, clock = Script(["0", "1", "2"]), Clock()
    run(course, script, clock)
    assert sorted(asked["anonymous_id"] for asked in script.requests) == sorted(f"replay-5-{r}" for r in range(ROWS))
    by_row = {int(asked["anonymous_id"].rsplit("-", 1)[1]): asked for asked in script.requests}
    assert all(by_row[row]["context"] == course.log.context(row) for row in by_row)
    assert all(asked["limit"] == 3 for asked in script.requests)
    assert clock.moves == [float(course.log.at[row]) for row in (GROUP - 1, 2 * GROUP - 1, ROWS - 1)]


def test_a_service_that_is_away_for_a_moment_costs_nothing(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_RETRY_S", 0.001)
    script = Script(["0", "1", "2"], failures=[503, 503])
    served = run(course, script, Clock())["home"]
    assert list(np.flatnonzero(served.is_match)) == matches(course.log, script.slate, course.item_ids)
    assert len(script.requests) == ROWS


def test_a_refusal_is_not_repeated_and_says_what_was_refused(course: Course) -> None:
    script = Script(["0", "1", "2"], failures=[422] * 1000)
    with pytest.raises(Unavailable, match="422 away"):
        run(course, script, Clock())
    assert len(script.failures) >= 1000 - GROUP


def test_a_rejected_event_ends_the_replay(course: Course) -> None:
    script = Script(["0", "1", "2"], rejected=[{"index": 0, "reason": "delivery_id_expired"}])
    with pytest.raises(Unavailable, match="delivery_id_expired"):
        run(course, script, Clock())


def test_a_slate_that_is_too_short_matches_nothing_below_its_end(course: Course) -> None:
    served = run(course, Script(["0"]), Clock())["home"]
    assert {int(course.log.position[row]) for row in np.flatnonzero(served.is_match)} <= {1}
