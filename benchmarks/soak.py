"""Steady load through everything while recommenders are killed: does a request fail, does a process grow?"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event

import numpy as np

from benchmarks import shop
from benchmarks.cpu import wait_until_quiet
from benchmarks.load import Figures, measured
from benchmarks.memory import rss_mb
from benchmarks.traffic import SLOTS, Traffic
from omakase.accounts import read_account
from omakase.supervisor import Supervisor

SHARE = 0.7
CONNECTIONS = 32
KILL_S = 20.0
PROBE_S = 15.0
# Beside the slates, people who see and click: what is learnt goes on being learnt.
EVENTS_PER_S = 200.0
WINDOW_S, LATENESS_S = 60.0, 10.0
LEARNING = {"session_gap_s": 2, "session_max_s": 20, "reward_window_s": WINDOW_S, "allowed_lateness_s": LATENESS_S}
# Until what is remembered for a window comes and goes at the same rate, and caches are full.
WARM_UP_S = WINDOW_S + LATENESS_S + 60.0
SETTLE_S = 600.0
_SAMPLE_S = 2.0
_MINUTE_S = 60.0
_VICTIM = "recommender-"


@dataclass(slots=True)
class Watched:
    """What was seen from outside: seconds since the start, and MB per process at that time; how often it was killed."""

    memory: defaultdict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    kills: int = 0


def measure(seconds: float) -> Iterator[str]:
    """The lines to print."""
    with shop.running(LEARNING) as up:
        shop.teach(up, 200)
        measured(up.gateway_url, shop.asks(), CONNECTIONS, 3.0)
        probe = measured(up.gateway_url, shop.asks(), CONNECTIONS, PROBE_S)
        rate = SHARE * probe.per_second
        yield (
            f"soak, {seconds:g} s at {rate:.0f} slates/s, {SHARE:.0%} of {probe.per_second:.0f}/s at {CONNECTIONS} "
            f"connections, and {EVENTS_PER_S:g} events/s; a recommender is killed every {KILL_S:g} s"
        )
        traffic = Traffic(up.gateway_url, up.tracking_url, EVENTS_PER_S)
        load, watched = _under_load(up, traffic, rate, seconds)
        yield from _answers(load, traffic, watched, seconds)
        yield from _memory(watched, seconds)
        started = time.monotonic()
        wait_until_quiet([up.processes[name].pid for name in up.processes if name != "batch"], SETTLE_S)
        up.drain()
        account = read_account(up.deployment)
        answered = probe.answers + load.answers + traffic.slates
        yield (
            f"  at rest {time.monotonic() - started:.0f} s after the load; {account.recorded / SLOTS:.0f} slates "
            f"recorded of {answered} and the warm-up's; accounting: {'; '.join(account.faults()) or 'balanced'}"
        )


def _under_load(up: Supervisor, traffic: Traffic, rate: float, seconds: float) -> tuple[Figures, Watched]:
    watched, over = Watched(), Event()
    with ThreadPoolExecutor(3) as threads:
        load = threads.submit(measured, up.gateway_url, shop.asks(), CONNECTIONS, seconds, rate=rate, items=SLOTS)
        people = threads.submit(asyncio.run, traffic.run(seconds))
        watching = threads.submit(_watch, up, watched, over, seconds)
        try:
            figures = load.result()
            people.result()
        finally:
            over.set()
        watching.result()
    return figures, watched


def _watch(up: Supervisor, watched: Watched, over: Event, seconds: float) -> None:
    """Sample what processes hold, and kill the recommenders by turns."""
    victims = [name for name in up.processes if name.startswith(_VICTIM)]
    started = time.monotonic()
    while not over.wait(_SAMPLE_S):
        at_s = time.monotonic() - started
        for name, child in up.processes.items():
            with suppress(OSError):  # it is being started again
                watched.memory[name].append((at_s, rss_mb(child.pid)))
        if KILL_S * (watched.kills + 1) <= at_s < seconds:
            with suppress(ProcessLookupError):
                os.kill(up.processes[victims[watched.kills % len(victims)]].pid, signal.SIGKILL)
            watched.kills += 1


def _answers(load: Figures, traffic: Traffic, watched: Watched, seconds: float) -> Iterator[str]:
    yield (
        f"  {load.answers} answers, {load.errors} failed, {load.short} short, {load.resent} sent again over a new "
        f"connection, {load.fallbacks} fallbacks ({load.fallbacks / load.answers:.2%}) with {watched.kills} kills"
    )
    yield f"  p50 {load.p50_ms:.1f} ms, p99 {load.p99_ms:.1f} ms; {load.per_second:.0f}/s over {seconds:g} s"
    yield (
        f"  beside it {traffic.slates} slates and {traffic.accepted} events accepted: {traffic.errors} failed, "
        f"{traffic.fallbacks} fallbacks"
    )


def _memory(watched: Watched, seconds: float) -> Iterator[str]:
    """The first minute that counts, the last one, and the slope between them."""
    since = min(WARM_UP_S, seconds / 3)
    span = min(_MINUTE_S, (seconds - since) / 2)
    yield f"  memory, medians of the first {span:.0f} s after a warm-up of {since:.0f} s and of the last:"
    for name, samples in watched.memory.items():
        at_s, mb = np.array(samples).T
        first, last = mb[(at_s >= since) & (at_s < since + span)], mb[at_s >= at_s[-1] - span]
        warm = at_s >= since
        slope = float(np.polyfit(at_s[warm] / 60, mb[warm], 1)[0])
        yield f"    {name:18} {np.median(first):6.1f} to {np.median(last):6.1f} MB, {slope:+.2f} MB/min"
