"""From a click's 202 to an answer by a model that holds it, at 1,000 events/s through every service."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from benchmarks import shop
from benchmarks.traffic import Traffic
from omakase.accounts import read_account
from omakase.adapters.local.training_state import SqliteTrainingState
from omakase.adapters.uri import Uri
from omakase.demo.freshness import Publish, waits
from omakase.supervisor import Supervisor

EVENTS_PER_S = 1000.0
# The gap, and how long the traffic lasts. Units: seconds.
RUNS = ((10.0, 90.0), (60.0, 200.0))
_PATIENCE_S = 60.0


def measure() -> list[str]:
    """The lines to print."""
    lines = [f"freshness, {EVENTS_PER_S:g} events/s with slates asked for as they are seen"]
    for gap_s, seconds in RUNS:
        learning = {"session_gap_s": gap_s, "session_max_s": 10 * gap_s}
        with shop.running(learning) as up:
            traffic = Traffic(up.gateway_url, up.tracking_url, EVENTS_PER_S)
            found = asyncio.run(_watch(up, traffic, gap_s, seconds))
            up.drain()
            faults = read_account(up.deployment).faults()
        lines += _lines(traffic, found, gap_s, seconds, faults)
    return lines


async def _watch(up: Supervisor, traffic: Traffic, gap_s: float, seconds: float) -> list[float]:
    """How long each click took. Goes on asking until the last click is served."""
    await traffic.run(seconds)
    training = SqliteTrainingState.from_uri(Uri.parse(up.deployment.uris.training))
    deadline = time.monotonic() + gap_s + _PATIENCE_S
    found: list[float] = []

    def is_over() -> bool:
        nonlocal found
        found = waits((Publish(n, clicks) for _, n, _, clicks in training.publishes()), traffic.first_seen)
        return len(found) >= traffic.clicks or time.monotonic() > deadline

    await traffic.look(is_over)
    return found


def _lines(traffic: Traffic, found: list[float], gap_s: float, seconds: float, faults: list[str]) -> list[str]:
    if not found:
        return [f"  gap {gap_s:g} s: no click was served within {gap_s + _PATIENCE_S:g} s"]
    p50, p95, p99 = np.quantile(found, [0.5, 0.95, 0.99]) - gap_s
    served = (
        f"{len(found)} of {traffic.clicks} clicks served; {traffic.accepted} events accepted, {traffic.slates} slates"
    )
    return [
        f"  gap {gap_s:3g} s, {seconds:g} s of traffic: gap + p50 {p50:.1f} s   p95 {p95:.1f} s   p99 {p99:.1f} s   "
        "(goal: p50 3, p99 8)",
        f"    {served}, {traffic.fallbacks} fallbacks, {traffic.errors} errors; "
        f"accounting: {'; '.join(faults) or 'balanced'}",
    ]
