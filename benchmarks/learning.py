"""From a mini-batch of examples to a belief that is ready to serve. One core, one BLAS thread."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

import numpy as np

from benchmarks.timing import timed
from omakase.core.learners import LinearLearner
from omakase.core.refolding import ExampleColumns

EVENTS, ROUNDS = 1000, 40
SHAPES = ((8, 3), (16, 3), (64, 0))


def measure() -> list[str]:
    """The lines to print, from a process of its own."""
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.learning"]
    return subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"learning: {EVENTS} examples summed, added to a model and made ready to serve, one core (medians)")
    for p, m in SHAPES:
        us = shared(p, m)
        print(f"  shared, d = {p * (1 + m)} ({p} item × {m} context): {us:.0f} µs, {1e6 * EVENTS / us:,.0f} events/s")


def shared(p: int, m: int) -> float:
    learner, batch = LinearLearner(m, p), examples(p, m)
    state = learner.absorb(learner.empty(), learner.refold(batch))
    return median(
        timed(lambda: learner.believe(learner.absorb(state, learner.refold(batch))), 5) for _ in range(ROUNDS)
    )


def examples(p: int, m: int) -> ExampleColumns:
    rng = np.random.default_rng(1)
    clicks, nothing = (rng.random(EVENTS) < 0.05).astype(float), np.full(EVENTS, np.nan)
    return ExampleColumns(
        rng.standard_normal((EVENTS, m)).astype(np.float32),
        rng.standard_normal((EVENTS, p)).astype(np.float32),
        np.ones(EVENTS),
        np.full(EVENTS, 1.8e9),
        {"click": clicks, "reward": clicks},
        {"click": nothing, "reward": nothing},
    )


if __name__ == "__main__":
    main()
