"""Recommendations per second at 32 connections, beside a bare FastAPI route on the same machine."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from benchmarks import shop

CONNECTIONS = 32
SECONDS = 6.0
ROUNDS = 5

_DEVICES = ("ios", "android", "web", "tv")
_BODIES = b"".join(
    json.dumps(
        {"placement": "home-top", "anonymous_id": f"a{i}", "context": {"device": _DEVICES[i % 4]}, "limit": 10}
    ).encode()
    + b"\n"
    for i in range(997)
)


def measure() -> list[str]:
    """The lines to print."""
    with bare_route() as bare_url, shop.running() as up:
        load(bare_url, 2.0)
        load(up.gateway_url, 4.0)
        rounds = [(load(bare_url, SECONDS), load(up.gateway_url, SECONDS)) for _ in range(ROUNDS)]
    errors = sum(int(ours["errors"]) for _, ours in rounds)
    ratios = [ours["per_second"] / bare["per_second"] for bare, ours in rounds]
    return [
        f"recommendations, top 10 of {shop.ITEMS} items at {CONNECTIONS} connections",
        f"  (medians of {ROUNDS} rounds of {SECONDS:g} s, by turns)",
        row("  bare FastAPI route, constant answer", [bare for bare, _ in rounds]),
        row("  gateway → gRPC → recommender, logged", [ours for _, ours in rounds]),
        f"  ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); {errors} errors",
    ]


def row(name: str, loads: list[dict[str, float]]) -> str:
    figures = {key: median(load[key] for load in loads) for key in ("per_second", "p50_ms", "p99_ms")}
    return f"{name:40} {figures['per_second']:7.0f}/s   p50 {figures['p50_ms']:.1f} ms   p99 {figures['p99_ms']:.1f} ms"


def load(url: str, seconds: float) -> dict[str, float]:
    """One run of the load generator, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.load", url, "/v1/recommendations", str(CONNECTIONS), str(seconds)]
    done = subprocess.run(command, input=_BODIES, stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@contextmanager
def bare_route() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.bare", str(port)])
    try:
        _wait_for(url)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"{url}/openapi.json", timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
