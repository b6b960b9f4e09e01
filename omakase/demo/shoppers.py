"""The simulated shoppers, in a process of their own: `python -m omakase.demo.shoppers --help`.

They come in an open loop, look at a slate, click by their hidden tastes after a human delay, and leave. Once a second a
line of JSON on standard output tells how it goes (`omakase.demo.progress`); the last one says so.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from dataclasses import dataclass

import numpy as np

from omakase.demo.behaviour import Beacon, beacons
from omakase.demo.market import Market, build_market
from omakase.demo.pacing import Pacer
from omakase.demo.storefront import Page, Storefront, new_session
from omakase.demo.tally import ShopperTally

CEILING = 200.0
_REPORT_S = 1.0
_LONGEST_LAG_S = 0.5


@dataclass(slots=True)
class Crowd:
    """Everybody who shops during one run. Guarantees: visit n is the same person with the same luck in every run."""

    market: Market
    seed: int
    storefront: Storefront
    tally: ShopperTally
    pacer: Pacer
    _in_flight: int = 0

    async def shop(self, seconds: float, stop: asyncio.Event) -> None:
        """Let shoppers come until the time is over or `stop` is set, then wait until the last one has left."""
        arrivals = np.random.default_rng([self.seed, 1])
        ends_at = time.monotonic() + seconds
        number, due = 0, time.monotonic()
        async with asyncio.TaskGroup() as visits:
            while not stop.is_set() and (now := time.monotonic()) < ends_at:
                self.pacer.adjust(now)
                # After a stall the missed arrivals stay missed: catching up would be the overload itself.
                due = max(due, now - _LONGEST_LAG_S) + self.pacer.gap_s(arrivals)
                await _pause(due - now, stop)
                number += 1
                if self.pacer.admits(self._in_flight):
                    self._in_flight += 1
                    visits.create_task(self._visit(number))
                else:
                    self.tally.shed += 1

    async def _visit(self, number: int) -> None:
        rng = np.random.default_rng([self.seed, 2, number])
        shopper = self.market.visitor(rng)
        try:
            page = await self.storefront.recommend(f"s{self.seed}-{shopper}", self.market.contexts[shopper])
        finally:
            self._in_flight -= 1
        if page is None:
            self.pacer.strain()
            return
        self.pacer.answered(page.latency_ms, is_healthy=not page.fallback)
        await self._browse(self._plan(f"v{self.seed}-{number}", shopper, page, rng))

    def _plan(self, visit: str, shopper: int, page: Page, rng: np.random.Generator) -> tuple[Beacon, ...]:
        slate = np.array([self.market.index[item_id] for item_id in page.item_ids], dtype=np.intp)
        probabilities = self.market.click_probabilities(shopper, slate)
        self.tally.shown(page.variant, len(slate), float(probabilities.sum()))
        return beacons(visit, page.delivery_ids, probabilities, rng)

    async def _browse(self, planned: tuple[Beacon, ...]) -> None:
        shown_at = time.monotonic()
        for beacon in planned:
            await asyncio.sleep(max(0.0, shown_at + beacon.after_s - time.monotonic()))
            await self.storefront.send(beacon.events)


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    """Sleep, unless that would be shorter than the clock can tell; come back at once when stopped."""
    if seconds < 0.001:
        await asyncio.sleep(0)
        return
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def _report(tally: ShopperTally, shopping: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Print progress every second until the shopping is over, and once more. A reader that left ends the shopping."""
    started, before, told_at = time.monotonic(), 0, time.monotonic()
    is_final = False
    while not is_final:
        await asyncio.wait([shopping], timeout=_REPORT_S)
        is_final, now = shopping.done(), time.monotonic()
        rate = (tally.latencies.count - before) / max(now - told_at, 1e-9)
        before, told_at = tally.latencies.count, now
        try:
            print(tally.progress(now - started, rate, is_final=is_final).to_json(), flush=True)
        except BrokenPipeError:
            stop.set()
            return


async def run(gateway_url: str, tracking_url: str, seed: int, seconds: float, rate: float) -> None:
    """Shop for `seconds`, at most `rate` visits a second; SIGTERM and SIGINT close the doors early but lose nothing."""
    tally, stop = ShopperTally(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with new_session() as session:
        storefront = Storefront(session, gateway_url, tracking_url, tally)
        crowd = Crowd(build_market(seed), seed, storefront, tally, Pacer(rate))
        shopping = asyncio.create_task(crowd.shop(seconds, stop))
        await _report(tally, shopping, stop)
        await shopping


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m omakase.demo.shoppers", description=__doc__)
    parser.add_argument("--gateway", required=True, help="URL of the gateway, such as http://127.0.0.1:8080")
    parser.add_argument("--tracking", required=True, help="URL of tracking, such as http://127.0.0.1:8081")
    parser.add_argument("--seed", type=int, default=1, help="which hidden world, and which luck")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long new shoppers come")
    parser.add_argument("--rate", type=float, default=CEILING, help="visits per second at most")
    given = parser.parse_args()
    asyncio.run(run(given.gateway, given.tracking, given.seed, given.seconds, given.rate))
    return 0


if __name__ == "__main__":
    sys.exit(main())
