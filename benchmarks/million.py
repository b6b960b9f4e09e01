"""A million items of 64 numbers behind the real gateway: filtered, ranked exactly, stamped, recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from statistics import median

from benchmarks import contestants, cpu, large, shop
from benchmarks.load import FAULTS, measured
from benchmarks.memory import rss_mb

CONNECTIONS = (1, 2, 8)
ROUNDS, SECONDS = 3, 8.0
GOAL_MS = 100
_START_S, _SETTLE_S = 900.0, 300.0
# Longer than the default, so that what is late is seen to be late instead of being cut short by a fallback.
_PATIENT = "recommenders: {main: {timeout_s: 2}}\n"


def measure() -> Iterator[str]:
    """The lines to print."""
    yield f"a million items through the gateway, {large.ITEMS:,} of 64 numbers, filtered by category, top 10"
    started = time.monotonic()
    with shop.running(more=_PATIENT, product=large.PRODUCT, catalogue=large.items(), ready_s=_START_S) as up:
        pids = contestants.product(up).pids
        memory = ", ".join(f"{name} {rss_mb(pid):.0f}" for name, pid in pids.items())
        yield f"  from nothing to ready {time.monotonic() - started:.0f} s; resident MB: {memory}"
        cpu.wait_until_quiet(pids.values(), _SETTLE_S)
        bodies = _asks()
        measured(up.gateway_url, bodies, max(CONNECTIONS), SECONDS)
        runs = [[measured(up.gateway_url, bodies, some, SECONDS) for some in CONNECTIONS] for _ in range(ROUNDS)]
        for at, some in enumerate(CONNECTIONS):
            rounds = [one[at] for one in runs]
            per_second = median(one.per_second for one in rounds)
            p50_ms, p99_ms = (median(getattr(one, key) for one in rounds) for key in ("p50_ms", "p99_ms"))
            faults = ", ".join(f"{sum(getattr(one, key) for one in rounds)} {key}" for key in FAULTS)
            yield (
                f"  {some:3} at a time   {per_second:6.1f}/s   p50 {p50_ms:6.1f} ms (goal {GOAL_MS})   "
                f"p99 {p99_ms:6.1f} ms   {faults}"
            )


def _asks() -> bytes:
    """Each wants three of the twenty categories."""
    bodies = (
        {
            "placement": "home",
            "anonymous_id": f"a{i}",
            "context": {"device": large.DEVICES[i % 4]},
            "filter": {"category": [large.CATEGORIES[(i + j) % 20] for j in range(3)]},
            "limit": 10,
        }
        for i in range(997)
    )
    return b"".join(json.dumps(body).encode() + b"\n" for body in bodies)
