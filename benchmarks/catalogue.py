"""A thousand items of a million added, hidden or changed: how soon they are served, and whether anything stands still.

The recommender's loader and the gateway's poll a real store, each in a process of its own, while a third process puts
the changes. From the commit until the new generation is what requests see; meanwhile something wakes up every
millisecond on the same event loop: the longest time that it did not is the pause.
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np

from benchmarks.large import COLOURS, ITEMS, PRODUCT, items
from benchmarks.memory import peak_rss_mb, rss_mb
from gateway.shelf import Shelf, ShelfLoader
from omakase.adapters.local.catalogue_store import SqliteCatalogueStore
from omakase.adapters.local.model_store import FileModelStore
from omakase.config import parse_product
from omakase.core.catalogue import Catalogue, Item
from omakase.core.choices import Layout
from omakase.serving.refresher import Refresher
from recommender.bundle import Bundle
from recommender.loading import BundleLoader

CHANGED = 1000
ROUNDS = 3
POLL_S = 0.5
STILL_S = 1.0
FILTERED_BY = ("category", "colour", "price", "brand")
SERVERS = ("recommender", "gateway")
Change: TypeAlias = Callable[[Item, int], Item]
CHANGES: dict[str, Change] = {
    "added": lambda item, n: replace(item, item_id=f"new-{n}"),
    "hidden": lambda item, _: replace(item, hidden=True),
    "facts changed": lambda item, n: replace(item, metadata=_other_facts(item, n)),
}


def measure() -> list[str]:
    """The lines to print."""
    lines = [f"{CHANGED:,} items of {ITEMS:,} changed, looked for every {POLL_S:g} s; the worst of {ROUNDS} rounds"]
    with TemporaryDirectory(prefix="omakase-catalogue-") as directory:
        _run("put", directory)
        for server in SERVERS:
            found = json.loads(_run(server, directory))
            lines.append(f"  {server}: loaded in {found['load_s']:.1f} s, resident {found['rss_mb']:.0f} MB")
            lines += [
                f"    {name:14} served after {of['served_s']:5.2f} s, of which {of['load_s']:5.2f} s at work;"
                f"   longest pause {of['pause_ms']:3.0f} ms"
                for name, of in found["changes"].items()
            ]
            lines.append(f"    longest pause while nothing changes {found['still_ms']:.0f} ms")
            lines.append(f"    resident at most {found['peak_mb']:.0f} MB")
    return lines


def _run(work: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.catalogue", work, *arguments]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, env=env, timeout=900, text=True).stdout


def _other_facts(item: Item, n: int) -> dict[str, object]:
    style = np.random.default_rng(n).standard_normal(32, dtype=np.float32)
    return {**item.metadata, "colour": COLOURS[n % 10], "price": n / 100, "style": tuple(style.tolist())}


class _Watch:
    """Wakes up every millisecond. `served_at` is when it first saw the generation that it waits for."""

    def __init__(self, generation: Callable[[], int]) -> None:
        self._generation = generation
        self.pause_s = 0.0

    async def wait_for(self, wanted: int, until: float = math.inf) -> float:
        """Returns when it was there, or `until`. Units: seconds of the monotonic clock."""
        last = time.monotonic()
        while self._generation() < wanted and last < until:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            self.pause_s, last = max(self.pause_s, now - last), now
        return last


class _Timed:
    """A loader, and how long its last call that changed something took."""

    def __init__(self, load: Callable[[object], object]) -> None:
        self._load = load
        self.took_s = 0.0

    def __call__(self, current: object) -> object:
        started = time.monotonic()
        found = self._load(current)
        if found is not current:
            self.took_s = time.monotonic() - started
        return found


async def _follow(load: Callable[[object], object], directory: Path) -> dict[str, object]:
    timed = _Timed(load)
    refresher: Refresher[object] = Refresher(timed, POLL_S, "catalogue")
    polling = asyncio.create_task(refresher.run())
    await refresher.ready()
    found: dict[str, object] = {"load_s": timed.took_s, "rss_mb": rss_mb(os.getpid())}
    for fact in FILTERED_BY:
        _catalogue(refresher).codes(fact)
    worst = {name: {"served_s": 0.0, "load_s": 0.0, "pause_ms": 0.0} for name in CHANGES}
    rng, still_ms = np.random.default_rng(4), 0.0
    for name in [*CHANGES] * ROUNDS:
        some = rng.choice(ITEMS, CHANGED, replace=False).tolist()
        wanted = _catalogue(refresher).generation + 1
        first = int(rng.integers(1 << 40))
        changed = [CHANGES[name](_catalogue(refresher).item(i), first + n) for n, i in enumerate(some)]
        (directory / "changes").write_bytes(pickle.dumps(changed))
        still = _Watch(lambda: _catalogue(refresher).generation)
        await still.wait_for(wanted, time.monotonic() + STILL_S * rng.random())
        still_ms = max(still_ms, still.pause_s * 1e3)
        watch = _Watch(lambda: _catalogue(refresher).generation)
        put = asyncio.create_task(asyncio.to_thread(_run, "change", str(directory)))
        served_at = await watch.wait_for(wanted)
        of = worst[name]
        of["served_s"] = max(of["served_s"], served_at - float(await put))
        of["load_s"] = max(of["load_s"], timed.took_s)
        of["pause_ms"] = max(of["pause_ms"], watch.pause_s * 1e3)
    polling.cancel()
    return {**found, "changes": worst, "still_ms": still_ms, "peak_mb": peak_rss_mb(os.getpid())}


def _catalogue(refresher: Refresher[object]) -> Catalogue:
    current = refresher.current
    assert isinstance(current, Bundle | Shelf)
    return current.catalogue


def _serve(server: str, directory: Path) -> dict[str, object]:
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # as every process does, see omakase.serving.process
    store, models = SqliteCatalogueStore(directory / "catalogue.db"), FileModelStore(directory / "models")
    if server == "recommender":
        load: Callable[..., object] = BundleLoader(parse_product(PRODUCT), store, models)
    else:
        load = ShelfLoader(["home"], store, models, {"home": Layout({"brand": 2})})
    return asyncio.run(_follow(load, directory))


def _change(directory: Path) -> float:
    """Returns when it was committed."""
    changed = pickle.loads((directory / "changes").read_bytes())  # what this benchmark wrote
    SqliteCatalogueStore(directory / "catalogue.db").put(changed)
    return time.monotonic()


if __name__ == "__main__":
    work, directory = sys.argv[1], Path(sys.argv[2])
    if work == "put":
        SqliteCatalogueStore(directory / "catalogue.db").put(items())
    else:
        print(_change(directory) if work == "change" else json.dumps(_serve(work, directory)))
