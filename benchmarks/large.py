"""A million items of 64 numbers each, ranked exactly: through the store, the filters, the draw and the top 10.

A request is `Ranker.answer`: stock, a filter by category, exclusions, one draw over all items, the best 10, stamped. It
is held against a bare product of the same matrix and one vector, by turns. The batch is the core alone: 32 requests,
each with a draw and a filter of its own, answered by one pass over the matrix.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.memory import peak_rss_mb, rss_mb
from omakase.adapters.local.catalogue_store import SqliteCatalogueStore
from omakase.adapters.local.clock import SystemClock
from omakase.adapters.local.model_store import FileModelStore
from omakase.config import parse_product
from omakase.core.beliefs import LinearScorer
from omakase.core.catalogue import Item
from omakase.core.ids import NOBODY, Keyring
from omakase.core.top import best_of_products
from recommender.bundle import Bundle
from recommender.loading import BundleLoader
from recommender.ranking import Query, Ranker

ITEMS = 1_000_000
BATCH = 32
ROUNDS = 15
CATEGORIES = tuple(f"category-{i}" for i in range(20))
COLOURS = tuple(f"colour-{i}" for i in range(10))
PRODUCT = f"""
placements:
  home: {{slots: 10, variants: {{learnt: {{share: 10000, policy: thompson, model: home}}}}}}
policies:
  thompson: {{type: linear_ts}}
models:
  home: {{features: home}}
features:
  home:
    item:
      - {{type: embedding, name: style, dimensions: 32}}
      - {{type: categorical, name: category, vocabulary: {json.dumps(CATEGORIES)}}}
      - {{type: categorical, name: colour, vocabulary: {json.dumps(COLOURS)}}}
      - {{type: numeric, name: price, mean: 80, scale: 40}}
    context:
      - {{type: categorical, name: device, vocabulary: [ios, android, web, tv]}}
"""
DEVICES = ("ios", "android", "web", "tv")


def measure() -> list[str]:
    """The lines to print."""
    with TemporaryDirectory(prefix="omakase-large-") as directory:
        put = _child("put", directory, threads=1)
        runs = {threads: _child("serve", directory, threads) for threads in (1, 2)}
    one = runs[1]
    lines = [
        f"a catalogue of {ITEMS:,} items, 64 numbers and 6 facts each",
        f"  put into SQLite              {put['put_s']:6.1f} s",
        f"  loaded and encoded           {one['load_s']:6.1f} s   resident {one['rss_mb']:.0f} MB,"
        f" at most {one['peak_mb']:.0f} MB",
        f"  loaded again, while the first is served: resident at most {one['stock_mb']:.0f} MB",
        f"    an item's stock changed    {one['stock_s']:6.1f} s",
        f"    an item's facts changed    {one['fact_s']:6.1f} s   resident at most {one['fact_mb']:.0f} MB",
    ]
    for threads, run in runs.items():
        lines += [
            f"  {threads} BLAS thread{'s' if threads > 1 else ', pinned'}, medians of {ROUNDS} rounds by turns",
            f"    bare product of matrix and vector   {run['bare_ms']:7.2f} ms",
            f"    one request, filtered, top 10       {run['one_ms']:7.2f} ms   {run['one_ratio']:.2f} × bare",
            f"    in a batch of {BATCH}, each              {run['batch_ms']:7.2f} ms",
        ]
    return [*lines, f"  resident after all of it {one['served_mb']:.0f} MB"]


def _child(work: str, directory: str, threads: int) -> dict[str, float]:
    """In a process of its own, so that memory is that of the work and BLAS has the threads it is given."""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "benchmarks.large", work, directory, str(threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=env, timeout=900)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def items() -> Iterator[Item]:
    rng = np.random.default_rng(1)
    for start in range(0, ITEMS, 10_000):
        styles = rng.standard_normal((10_000, 32), dtype=np.float32).round(4).astype(np.float32)
        numbers = rng.integers(0, 1 << 30, (10_000, 5)).tolist()
        for i, (style, (category, colour, price, brand, stock)) in enumerate(zip(styles, numbers, strict=True), start):
            facts = {
                "category": CATEGORIES[category % 20],
                "colour": COLOURS[colour % 10],
                "price": price % 20_000 / 100,
                "brand": f"brand {brand % 3000}",
                "title": f"The {i}th of its kind, brand {brand % 3000}",
                "style": tuple(style.tolist()),
            }
            yield Item(f"sku-{i:09d}", facts, value=facts["price"], stock=stock % 10)


def _put(directory: Path) -> dict[str, float]:
    started = time.perf_counter()
    SqliteCatalogueStore(directory / "catalogue.db").put(items())
    return {"put_s": time.perf_counter() - started}


def _serve(directory: Path, threads: int) -> dict[str, float]:
    if threads == 1:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    product = parse_product(PRODUCT)
    store = SqliteCatalogueStore(directory / "catalogue.db")
    load = BundleLoader(product, store, FileModelStore(directory / "models"))
    figures: dict[str, float] = {}
    started = time.perf_counter()
    bundle = load(None)
    figures |= {
        "load_s": time.perf_counter() - started,
        "rss_mb": rss_mb(os.getpid()),
        "peak_mb": peak_rss_mb(os.getpid()),
    }
    figures |= _requests(bundle, directory) | {"served_mb": rss_mb(os.getpid())}
    if threads == 1:
        first = bundle.catalogue.item(0)
        for name, changed in (("stock", replace(first, stock=99)), ("fact", replace(first, metadata={}))):
            store.put([changed])
            started = time.perf_counter()
            load(bundle)
            figures |= {f"{name}_s": time.perf_counter() - started, f"{name}_mb": peak_rss_mb(os.getpid())}
        store.put([first])
    return figures


def _requests(bundle: Bundle, directory: Path) -> dict[str, float]:
    ranker = Ranker(
        Keyring({1: b"\1" * 16}, 1, b"\2" * 16),
        SystemClock(),
        np.random.default_rng(2),
    )
    model, rng = bundle.model("home"), np.random.default_rng(3)
    weights = rng.standard_normal(64, dtype=np.float32)
    scorer = model.scorer
    assert isinstance(scorer, LinearScorer)
    catalogue = model.items.catalogue
    excluded = [catalogue.item_ids[i] for i in range(0, ITEMS, ITEMS // 10)]
    number = iter(range(1_000_000))

    def one() -> None:
        i = next(number)
        wanted = {"category": tuple(CATEGORIES[(i + j) % 20] for j in range(3))}
        context = {"device": DEVICES[i % 4]}
        query = Query(
            "home", "learnt", "thompson", "home", NOBODY, NOBODY, context, 10, excluded, None, True, filters=wanted
        )
        assert len(ranker.answer(bundle, query).slate.deliveries) == 10

    def batch() -> None:
        drawn, masks = [], []
        for _ in range(BATCH):
            i = next(number)
            drawn.append(scorer.weights(model.spec.encode_context({"device": DEVICES[i % 4]}), 0.3, 1, rng)[0])
            wanted = {"category": tuple(CATEGORIES[(i + j) % 20] for j in range(3))}
            masks.append(catalogue.eligible(excluded, None, wanted)[0])
        slates = best_of_products(model.items.factors, np.array(drawn), np.array(masks), 10)
        assert all(len([catalogue.item_ids[i] for i in slate.tolist()]) == 10 for slate in slates)

    def bare() -> None:
        model.items.factors @ weights

    one(), batch()
    times = [(_seconds(bare), _seconds(one), _seconds(bare), _seconds(batch)) for _ in range(ROUNDS)]
    bares = [time for round in times for time in (round[0], round[2])]
    return {
        "bare_ms": median(bares) * 1e3,
        "one_ms": median(round[1] for round in times) * 1e3,
        "one_ratio": median(round[1] / round[0] for round in times),
        "batch_ms": median(round[3] for round in times) / BATCH * 1e3,
    }


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    work, directory, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    print(json.dumps(_put(directory) if work == "put" else _serve(directory, threads)))
