"""Far more callers than can be served: what is still answered, how soon, and whether the process keeps its head."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from benchmarks import shop
from benchmarks.load import Figures, measured
from benchmarks.traffic import SLOTS

CONNECTIONS = 32
# Each asks again as soon as it is answered, whatever the answer was. The load generator waits by `select` for no more.
CALLERS = 900
SECONDS = 10.0


def measure() -> Iterator[str]:
    """The lines to print."""
    with shop.running() as up:
        shop.teach(up, 200)
        measured(up.gateway_url, shop.asks(), CONNECTIONS, 3.0)
        before = measured(up.gateway_url, shop.asks(), CONNECTIONS, SECONDS, items=SLOTS)
        yield f"overload: {CALLERS} callers at once, capacity measured with {CONNECTIONS}"
        yield _row("capacity", before, before)
        over, states, slowest_s = Event(), Counter[int](), [0.0]
        with ThreadPoolExecutor(1) as thread:
            thread.submit(_probe, f"{up.gateway_url}/readyz", over, states, slowest_s)
            try:
                yield _row("overload", measured(up.gateway_url, shop.asks(), CALLERS, SECONDS, items=SLOTS), before)
            finally:
                over.set()
        told = ", ".join(f"{count} × {state}" for state, count in sorted(states.items()))
        yield f"  readiness meanwhile: {told}; the slowest after {slowest_s[0] * 1e3:.0f} ms"
        yield _row("capacity afterwards", measured(up.gateway_url, shop.asks(), CONNECTIONS, SECONDS), before)
        yield f"  restarts: {sum(child.restarts for child in up.processes.values())}"


def _row(name: str, load: Figures, capacity: Figures) -> str:
    served, capable = load.served / load.elapsed_s, capacity.served / capacity.elapsed_s
    return (
        f"  {name:20} {served:6.0f}/s served, {served / capable:.0%} of capacity, p99 {load.served_p99_ms:.0f} ms; "
        f"{load.fallbacks} of {load.served} are fallbacks, {load.errors} were told to come back or failed"
    )


def _probe(url: str, over: Event, states: Counter[int], slowest_s: list[float]) -> None:
    while not over.wait(0.2):
        started = time.monotonic()
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                states[answer.status] += 1
        except urllib.error.HTTPError as error:
            states[error.code] += 1
        except OSError:
            states[0] += 1
        slowest_s[0] = max(slowest_s[0], time.monotonic() - started)
