"""Ten minutes of steady load through everything: does any process grow, and does the data directory?"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import defaultdict
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import shop
from benchmarks.memory import rss_mb
from benchmarks.traffic import Traffic
from omakase.accounts import read_account
from omakase.supervisor import Supervisor

EVENTS_PER_S = 500.0
WINDOW_S, LATENESS_S = 120.0, 10.0
LEARNING = {"session_gap_s": 2, "session_max_s": 20, "reward_window_s": WINDOW_S, "allowed_lateness_s": LATENESS_S}
# Until what is remembered for a window comes and goes at the same rate, and caches are full.
WARM_UP_S = WINDOW_S + LATENESS_S + 60.0
_SAMPLE_S = 2.0
_PARTS = 4
_TABLES = (("bus", "log"), ("deliveries", "slate"), ("training", "slate"), ("training", "publishes"))


@dataclass(slots=True)
class Samples:
    """Seconds since the start, and per process MB at that time."""

    by_process: defaultdict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    counts: list[tuple[float, str]] = field(default_factory=list)


def measure(seconds: float) -> list[str]:
    """The lines to print."""
    with shop.running(LEARNING) as up:
        traffic, samples = Traffic(up.gateway_url, up.tracking_url, EVENTS_PER_S), Samples()
        asyncio.run(_load(up, traffic, samples, seconds))
        restarts = sum(child.restarts for child in up.processes.values())
        up.drain()
        faults = read_account(up.deployment).faults()
    warm_up_s = min(WARM_UP_S, seconds / 2)
    return [
        f"soak, {seconds:g} s of {EVENTS_PER_S:g} events/s; what is remembered of a slate is forgotten after "
        f"{WINDOW_S + LATENESS_S:g} s",
        *(_slope(name, samples.by_process[name], warm_up_s) for name in samples.by_process),
        *(f"  after {at_s:4.0f} s: {counts}" for at_s, counts in samples.counts),
        f"  {traffic.accepted} events accepted, {traffic.slates} slates, {traffic.fallbacks} fallbacks, "
        f"{traffic.errors} errors, {restarts} restarts; accounting: {'; '.join(faults) or 'balanced'}",
    ]


async def _load(up: Supervisor, traffic: Traffic, samples: Samples, seconds: float) -> None:
    running = asyncio.create_task(traffic.run(seconds))
    started = time.monotonic()
    while not running.done():
        await asyncio.wait([running], timeout=_SAMPLE_S)
        at_s = time.monotonic() - started
        for name, child in up.processes.items():
            with suppress(OSError):  # it is being started again; restarts are reported
                samples.by_process[name].append((at_s, rss_mb(child.pid)))
        if not samples.counts or at_s >= samples.counts[-1][0] + seconds / 6:
            samples.counts.append((at_s, await asyncio.to_thread(_counts, up.deployment.root)))
    await running


def _counts(root: Path) -> str:
    sizes = []
    for path in list(root.rglob("*")):
        with suppress(FileNotFoundError):  # it was there when the directory was listed
            sizes += [path.stat().st_size] * path.is_file()
    rows = ", ".join(f"{_rows(root / f'{database}.db', table)} in {database}.{table}" for database, table in _TABLES)
    return f"{len(sizes)} files, {sum(sizes) / 1e6:.0f} MB; rows: {rows}"


def _rows(path: Path, table: str) -> int:
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
            return 0  # the trainer takes seconds to start
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


def _slope(name: str, samples: list[tuple[float, float]], warm_up_s: float) -> str:
    """The slope over all that comes after the warm-up, and of its quarters: if it grows, all of them are above 0."""
    warm = np.array([sample for sample in samples if sample[0] >= warm_up_s])
    if len(warm) < 2 * _PARTS:
        return f"  {name:18} too few samples after the warm-up of {warm_up_s:g} s"
    slopes = sorted(_per_minute(part) for part in np.array_split(warm, _PARTS))
    return (
        f"  {name:18} {warm[0, 1]:6.1f} to {warm[-1, 1]:6.1f} MB, {_per_minute(warm):+.2f} MB/min "
        f"(quarters {slopes[0]:+.2f} to {slopes[-1]:+.2f})"
    )


def _per_minute(samples: np.ndarray) -> float:
    return float(np.polyfit(samples[:, 0] / 60, samples[:, 1], 1)[0])
