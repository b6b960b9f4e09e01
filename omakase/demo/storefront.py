"""The demo's storefront: asks for slates and sends beacons, over HTTP like any other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from omakase.core.values import Facts
from omakase.demo.behaviour import BeaconEvent
from omakase.demo.product import PLACEMENT, SLOTS
from omakase.demo.tally import ShopperTally

_RECOMMEND_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
_BEACON_TIMEOUT = aiohttp.ClientTimeout(total=5.0)
_ATTEMPTS = 8
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_BUSY = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Page:
    """A slate as it arrived at the browser. Units: latency_ms of the answer that came."""

    variant: str
    fallback: bool
    item_ids: tuple[str, ...]
    delivery_ids: tuple[str, ...]
    latency_ms: float


def new_session() -> aiohttp.ClientSession:
    """Connections are dropped before the servers drop them: a POST must not meet a closing one."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=2.0))


@dataclass(slots=True)
class Storefront:
    """Speaks to one gateway and one tracking service, and counts what it was told."""

    session: aiohttp.ClientSession
    gateway_url: str
    tracking_url: str
    tally: ShopperTally

    async def recommend(self, anonymous_id: str, context: Facts) -> Page | None:
        """One slate; one retry if the connection fails. None, counted as an error, if there is still no answer."""
        body = {
            "placement": PLACEMENT,
            "anonymous_id": anonymous_id,
            "context": dict(context),
            "limit": SLOTS,
        }
        for _ in range(2):
            asked_at = time.perf_counter()
            try:
                async with self.session.post(
                    f"{self.gateway_url}/v1/recommendations", json=body, timeout=_RECOMMEND_TIMEOUT
                ) as response:
                    if response.status != 200:
                        break
                    answer = await response.json()
            except (aiohttp.ClientError, TimeoutError):
                continue
            return self._page(answer, (time.perf_counter() - asked_at) * 1000)
        self.tally.errors += 1
        return None

    async def send(self, events: Sequence[BeaconEvent]) -> None:
        """Deliver a page's events, patiently. Every event ends as accepted, rejected or lost; an attempt without a
        clear answer makes its events unknown as well, for the service may have taken them.
        """
        pause_s = _FIRST_PAUSE_S
        for _ in range(_ATTEMPTS):
            try:
                async with self.session.post(
                    f"{self.tracking_url}/v1/events", json={"events": list(events)}, timeout=_BEACON_TIMEOUT
                ) as response:
                    if response.status == 202:
                        receipt = await response.json()
                        self.tally.accepted += receipt["accepted"]
                        self.tally.rejected += len(receipt["rejected"])
                        return
                    if response.status not in _BUSY:
                        self.tally.rejected += len(events)
                        return
                    self.tally.unknown += len(events)
            except aiohttp.ClientConnectorError:
                pass  # It was never sent.
            except (aiohttp.ClientError, TimeoutError):
                self.tally.unknown += len(events)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self.tally.lost += len(events)

    def _page(self, answer: dict[str, Any], latency_ms: float) -> Page:
        self.tally.answered(
            answer["variant"], answer["model_version"] or "", answer["fallback"], time.time(), latency_ms
        )
        items = answer["items"]
        return Page(
            answer["variant"],
            answer["fallback"],
            tuple(item["item_id"] for item in items),
            tuple(item["delivery_id"] for item in items),
            latency_ms,
        )
