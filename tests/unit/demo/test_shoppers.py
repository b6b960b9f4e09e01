"""The shoppers' process against servers that misbehave: its counts stay true, and it always comes to an end."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from omakase.demo.crowd import ShopperProcess
from omakase.demo.market import build_market
from omakase.demo.product import SLOTS

SEED = 4
ITEM_IDS = [item.item_id for item in build_market(SEED, shoppers=10).items]
DEADLINE_S = 30.0


@dataclass
class Shop:
    """Gateway and tracking in one, whose every n-th answer goes wrong. It counts what it truly accepted."""

    cut_every: int = 0
    busy_every: int = 0
    fail_slates: bool = False
    slates: int = 0
    accepted: int = 0
    units: Counter[str] = field(default_factory=Counter)
    beacons: list[tuple[str, ...]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def recommend(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if self.fail_slates:
            return web.Response(status=503)
        self.slates += 1
        self.units[asked["anonymous_id"]] += 1
        items = [
            {"item_id": ITEM_IDS[(self.slates + i) % 50], "delivery_id": f"d{self.slates}-{i}", "position": i + 1}
            for i in range(SLOTS)
        ]
        version = f"home/abc@{self.slates // 50}"
        return web.json_response({"variant": "learnt", "model_version": version, "fallback": False, "items": items})

    async def take(self, request: web.Request) -> web.Response:
        events = (await request.json())["events"]
        number = next(self._numbers)
        if self.busy_every and number % self.busy_every == 0:
            return web.Response(status=503)
        self.accepted += len(events)
        self.beacons.append(tuple(f"{e['delivery_id']} {e['type']} {e.get('event_id', '')}" for e in events))
        if self.cut_every and number % self.cut_every == 0 and request.transport is not None:
            request.transport.close()
        return web.json_response({"accepted": len(events), "rejected": []}, status=202)

    @contextmanager
    def open(self) -> Iterator[str]:
        """Serve on a free port of this machine from a thread of its own. Yields: the URL."""
        loop, app = asyncio.new_event_loop(), web.Application()
        app.router.add_post("/v1/recommendations", self.recommend)
        app.router.add_post("/v1/events", self.take)
        runner = web.AppRunner(app)
        loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        loop.run_until_complete(site.start())
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.run_until_complete(runner.cleanup())
            loop.close()


def shop(server: Shop, log: Path, seconds: float = 1.5) -> ShopperProcess:
    with server.open() as url, ShopperProcess(url, url, SEED, seconds, log) as shoppers:
        shoppers.wait(DEADLINE_S)
        assert not shoppers.is_running, log.read_text()
    assert shoppers.progress.is_final, log.read_text()
    return shoppers


def test_every_count_agrees_with_the_servers(tmp_path: Path) -> None:
    server = Shop()
    told = shop(server, tmp_path / "log").progress
    assert told.requests == server.slates > 20
    assert told.deliveries == SLOTS * server.slates
    assert told.accepted == server.accepted > 0
    assert (told.errors, told.unknown, told.lost, told.rejected) == (0, 0, 0, 0)
    assert told.served["learnt"].deliveries == told.deliveries
    assert 0.005 < told.served["learnt"].expected_ctr < 0.05
    assert set(told.first_seen) == {f"home/abc@{n}" for n in range(server.slates // 50 + 1)}


def test_cut_connections_leave_the_truth_between_known_and_unknown(tmp_path: Path) -> None:
    server = Shop(cut_every=5)
    told = shop(server, tmp_path / "log").progress
    assert told.unknown > 0
    assert told.accepted < server.accepted <= told.accepted + told.unknown
    assert told.lost == 0


def test_a_busy_service_gets_every_event_again(tmp_path: Path) -> None:
    server = Shop(busy_every=4)
    told = shop(server, tmp_path / "log").progress
    assert told.accepted == server.accepted > 0
    assert told.lost == 0


def test_a_shop_without_slates_is_counted_and_not_hammered(tmp_path: Path) -> None:
    told = shop(Shop(fail_slates=True), tmp_path / "log").progress
    assert told.requests == told.accepted == 0
    assert 0 < told.errors < 200


def test_asked_to_finish_they_leave_early_with_nothing_lost(tmp_path: Path) -> None:
    server = Shop()
    with server.open() as url, ShopperProcess(url, url, SEED, 600.0, tmp_path / "log") as shoppers:
        for _ in range(300):
            shoppers.wait(0.1)
            if shoppers.progress.requests:
                break
        shoppers.finish()
        shoppers.wait(DEADLINE_S)
        assert not shoppers.is_running
    assert shoppers.progress.is_final
    assert shoppers.progress.accepted == server.accepted


def test_the_same_seed_brings_the_same_people(tmp_path: Path) -> None:
    first, second = Shop(), Shop()
    shop(first, tmp_path / "one")
    shop(second, tmp_path / "two")
    # How many come in a given time is the machine's affair, and so is the order in which their requests arrive.
    shorter, longer = sorted((first, second), key=lambda server: server.slates)
    assert shorter.slates > 40
    assert sum((shorter.units - longer.units).values()) <= 5


def test_leaving_the_context_leaves_nobody_running(tmp_path: Path) -> None:
    with Shop().open() as url, ShopperProcess(url, url, SEED, 600.0, tmp_path / "log") as shoppers:
        assert shoppers.is_running
    assert not shoppers.is_running
