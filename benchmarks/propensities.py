"""What counting propensities costs beside serving, and whether what it counts is true."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks import shop
from benchmarks.frequencies import cases
from benchmarks.load import measured
from omakase.config.schema import CountedPropensities
from omakase.core.propensities import Stopping
from omakase.supervisor import Supervisor

DEFAULT = CountedPropensities()
STOPPING = Stopping(DEFAULT.occurrences, DEFAULT.max_draws)
DRAWS, SLATES, SEEDS = 1_000_000, 200, (1, 2)
ROUNDS, SECONDS, CONNECTIONS = 5, 5.0, 32


@dataclass(frozen=True, slots=True)
class Side:
    """One service under load. Units: cpu_us of the recommender for a slate, counting left out.

    share is the counting's CPU time by that of the rest of the recommender; counted is a share of the slates.
    """

    per_second: float
    p99_ms: float
    cpu_us: float
    share: float
    counted: float


def measure() -> list[str]:
    """The lines to print."""
    with ExitStack() as stack:
        without, counting = (stack.enter_context(_served(share)) for share in (0.0, DEFAULT.cpu_share))
        rounds = [(_load(*without), _load(*counting)) for _ in range(ROUNDS + 1)][1:]
    shares = [counted.share for _, counted in rounds]
    return [
        f"propensities, top 10 of {shop.ITEMS} items before anything is learnt, which is when they are rarest",
        f"  (medians of {ROUNDS} rounds of {SECONDS:g} s, by turns, at {CONNECTIONS} connections)",
        _row("  not counted", [plain for plain, _ in rounds]),
        _row(f"  counted, cpu_share {DEFAULT.cpu_share:g}", [counted for _, counted in rounds]),
        f"  CPU of the counting by that of serving {median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})",
    ]


def measure_z() -> list[str]:
    """The lines to print."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for seed in SEEDS:
        for case in cases(seed=seed):
            z = case.z_scores(SLATES, DRAWS, STOPPING, np.random.default_rng(100 + seed))
            found.setdefault(case.name, []).append(z)
    lines = [f"propensities against frequencies of {DRAWS:,} draws; K = {DEFAULT.occurrences}, M = {DEFAULT.max_draws}"]
    for name, parts in found.items():
        z = np.concatenate(parts)
        rms = f"RMS of z {np.sqrt(np.mean(z**2)):.3f}, mean {z.mean():+.3f}" if z.size else "nothing left to chance"
        lines.append(f"  {name:28} {z.size:4} cells  {rms}")
    return lines


@contextmanager
def _served(cpu_share: float) -> Iterator[tuple[Supervisor, str]]:
    """The whole service, and where its recommender's metrics are."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    more = f"propensities: {{cpu_share: {cpu_share}}}\n"
    with shop.running(more=more, tuning={"recommender": {"metrics_address": address}}) as up:
        yield up, f"http://{address}/metrics"


def _load(up: Supervisor, url: str) -> Side:
    before = _metrics(url)
    load = measured(up.gateway_url, shop.asks(), CONNECTIONS, SECONDS)
    grown = {name: value - before.get(name, 0.0) for name, value in _metrics(url).items()}
    counting_s = grown["omakase_recommender_propensity_cpu_seconds_total"]
    serving_s = grown["process_cpu_seconds_total"] - counting_s
    slates = load.answers
    counted = grown.get('omakase_recommender_propensities_total{outcome="counted"}', 0.0) / slates
    return Side(load.per_second, load.p99_ms, serving_s / slates * 1e6, counting_s / serving_s, counted)


def _metrics(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def _row(name: str, sides: list[Side]) -> str:
    per_second, p99_ms = median(side.per_second for side in sides), median(side.p99_ms for side in sides)
    cpu_us, counted = median(side.cpu_us for side in sides), median(side.counted for side in sides)
    return f"{name:28} {per_second:5.0f}/s   p99 {p99_ms:.1f} ms   {cpu_us:.0f} µs CPU a slate   {counted:.0%} counted"
