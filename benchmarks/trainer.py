"""Events per second of the bounded trainer alone: in this process, from a bus filled beforehand, without HTTP."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import history
from benchmarks.history import History
from dataflow.__main__ import build
from omakase import models
from omakase.accounts import read_account
from omakase.adapters import open_model_store

SLATES = 10_000
ROUNDS = 3


def measure() -> list[str]:
    """The lines to print."""
    with TemporaryDirectory(prefix="omakase-bench-") as directory:
        filled = history.fill(Path(directory) / "filled", SLATES, time.time() - 10)
        _learn(_copy(filled, Path(directory) / "warm"))
        times = [_learn(_copy(filled, Path(directory) / f"round-{i}")) for i in range(ROUNDS)]
    rates = [filled.events / elapsed_s for elapsed_s, _ in times]
    per_cpu_s = median(filled.events / cpu_s for _, cpu_s in times)
    return [
        f"trainer, {filled.events} events of {filled.deliveries} deliveries, from the bus to a published model",
        f"  learnt                                 {median(rates):8.0f} events/s   "
        f"({min(rates):.0f} to {max(rates):.0f} in {ROUNDS} rounds; {per_cpu_s:.0f} in a second of processor time)",
    ]


def _copy(filled: History, directory: Path) -> History:
    shutil.copytree(filled.deployment.root, directory)
    return replace(filled, deployment=replace(filled.deployment, data_dir=directory))


def _learn(filled: History) -> tuple[float, float]:
    """Seconds, by the clock and of the processor, until everything is in a published model.

    Raises: RuntimeError if something is not.
    """
    deployment = filled.deployment
    trainer = build(deployment.trainer(None))
    started, cpu_started = time.perf_counter(), time.process_time()
    while trainer.tick():
        pass
    trainer.publisher.publish(at_once=True)
    times = time.perf_counter() - started, time.process_time() - cpu_started
    store = open_model_store(deployment.uris.models)
    (key,) = models.keys(store)
    learnt = models.newest(store, key).snapshot.statistics.examples
    faults = read_account(deployment).faults()
    if learnt != filled.deliveries or faults:
        raise RuntimeError(f"{learnt} of {filled.deliveries} deliveries were learnt; {faults}")
    return times
