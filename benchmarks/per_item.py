"""Per-item models: from an encoded request to ten ranked ids, and from a mini-batch to a belief ready to serve.

One core, one BLAS thread, everything by turns in one run. Every item has a posterior of its own over q numbers of the
context. Contexts are dense, the hardest case, and then as they are: a few numbers and a few of many categories.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.competitors import environment
from benchmarks.scoring import TOP, Contestant
from benchmarks.timing import timed
from omakase.core.choices import Choice
from omakase.core.item_learner import PerItemLearner
from omakase.core.policies import Thompson
from omakase.core.ranking import rank
from omakase.core.refolding import ExampleColumns
from omakase.snapshots import Snapshot, decode_snapshot, encode_snapshot

N, P, EVENTS, LEARNT = 1000, 4, 1000, 100_000
WIDTHS = (32, 64)
IDS = [f"item-{i}" for i in range(N)]
ROUNDS, CALLS, BATCHES = 15, 40, 40
VOWPAL = "VW --squarecb by item, pre-parsed"


def measure() -> list[str]:
    """The lines to print, from a process of its own: the number of BLAS threads is settled when it starts."""
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.per_item"], env=environ, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode().splitlines()


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for q in WIDTHS:
        world = World(q)
        scoring(world)
        learning(world)


class World:
    """A per-item model that has learnt 100,000 examples of a thousand items, and goes on batch by batch."""

    def __init__(self, q: int) -> None:
        self.q = q
        self.rng = np.random.default_rng(1)
        self.learner = PerItemLearner(q - 1, P)
        self.factors = self.rng.standard_normal((N, P)).astype(np.float32)
        self.factors[:, 0] = 1.0
        self.state = self.learner.refold(self.examples(LEARNT))
        self.belief = self.learner.believe(self.state)

    def examples(self, rows: int) -> ExampleColumns:
        which = self.rng.integers(0, N, rows)
        clicks, nothing = (self.rng.random(rows) < 0.05).astype(float), np.full(rows, np.nan)
        return ExampleColumns(
            self.rng.standard_normal((rows, self.q - 1)).astype(np.float32),
            self.factors[which],
            np.ones(rows),
            np.full(rows, 1.8e9),
            {"click": clicks, "reward": clicks},
            {"click": nothing, "reward": nothing},
            [IDS[i] for i in which],
        )

    def learn(self, batch: ExampleColumns) -> None:
        """Learn it, and make that ready to serve. What has hardly changed is not factored again."""
        self.state = self.learner.absorb(self.state, self.learner.refold(batch))
        self.belief = self.learner.believe(self.state, self.belief)
        self.belief.over(IDS, self.factors)

    def believe(self) -> None:
        """As a recommender does that starts, or meets its first snapshot."""
        self.learner.believe(self.state).over(IDS, self.factors)


def scoring(world: World) -> None:
    rng, q = world.rng, world.q
    scorer, policy = world.belief.over(IDS, world.factors), Thompson()
    choice = Choice(np.ones(N, dtype=np.bool_), TOP)
    dense = rng.standard_normal((CALLS, q - 1)).astype(np.float32)
    sparse = np.where(rng.random((CALLS, q - 1)) < 6 / q, dense, 0.0).astype(np.float32)

    def ranked(contexts: NDArray[np.float32]) -> Callable[[], object]:
        turn = iter(range(10**9))
        return lambda: [
            IDS[i] for i in rank(policy, scorer, contexts[next(turn) % CALLS], choice, rng).indices.tolist()
        ]

    packed = rng.standard_normal((N, q * (q + 1) // 2), dtype=np.float32)
    vector = rng.standard_normal(packed.shape[1], dtype=np.float32)
    calls = {
        "Omakase, dense contexts": ranked(dense),
        "Omakase, six numbers of the context": ranked(sparse),
        "bare sgemv over the packed covariances": lambda: packed @ vector,
    }
    taken: dict[str, list[float]] = {name: [] for name in (*calls, VOWPAL)}
    vowpal = Contestant(environment.start("benchmarks.competitors.speed"))
    try:
        vowpal.told({"name": VOWPAL, "n": N, "d": q})
        for _ in range(ROUNDS):
            for name, call in calls.items():
                taken[name].append(timed(call, CALLS))
            taken[VOWPAL].append(vowpal(CALLS // 4))
    finally:
        vowpal.process.terminate()
        vowpal.process.wait()
    found = {name: median(us) for name, us in taken.items()}
    print(f"per-item scoring, {N} × {q}: from an encoded request to the best {TOP} ids (medians, µs; ratios to VW)")
    for name, us in found.items():
        print(f"    {name:44} {us:10.1f}   {found[VOWPAL] / us:9.2f}")


def learning(world: World) -> None:
    """Batches cost unequally, for an item is factored once in several of them: many are learnt, and all are timed."""
    batches = [world.examples(EVENTS) for _ in range(BATCHES)]
    for batch in batches:  # until items are factored at different times
        world.learn(batch)
    started = time.perf_counter()
    for batch in batches:
        world.learn(batch)
    rate = EVENTS * BATCHES / (time.perf_counter() - started)
    body = encode_snapshot(Snapshot("m", "s", world.state))
    decoded, believed = (
        1e-3 * median(timed(call, 1) for _ in range(ROUNDS)) for call in (lambda: decode_snapshot(body), world.believe)
    )
    print(f"per-item learning, {N} items × {world.q}: batches of {EVENTS}, each learnt and made ready to serve")
    print(f"    {rate:,.0f} events/s; a snapshot of {len(body) / 1e6:.1f} MB decoded in {decoded:.1f} ms, and believed")
    print(f"    from nothing in {believed:.1f} ms")


if __name__ == "__main__":
    main()
