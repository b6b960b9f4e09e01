"""A trainer that was away: how fast its process works off what has piled up, and whether it slows down on the way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import history
from benchmarks.history import History
from benchmarks.memory import peak_rss_mb
from omakase.accounts import read_account
from omakase.adapters import open_training_state
from omakase.supervisor.child import Child, Program

# Slates; each has 10 deliveries and brings about 10.6 events.
SIZES = (9_500, 28_500, 95_000)
_POLL_S = 0.05
_PATIENCE_S = 1200.0


@dataclass(frozen=True, slots=True)
class Run:
    """How far the trainer was at each commit. Units: seconds since it was started; messages; MB."""

    at_s: tuple[float, ...]
    cursors: tuple[int, ...]
    peak_rss_mb: float
    faults: tuple[str, ...]


def measure() -> list[str]:
    """The lines to print."""
    lines = ["backlog, worked off by the trainer's own process"]
    for slates in SIZES:
        with TemporaryDirectory(prefix="omakase-bench-") as directory:
            filled = history.fill(Path(directory), slates, time.time() - 10)
            lines += _lines(filled, _work_off(filled))
    return lines


def _work_off(filled: History) -> Run:
    """Raises: TimeoutError if it takes too long."""
    deployment = filled.deployment
    state = open_training_state(deployment.uris.training)
    child = Child(Program("trainer", "dataflow", deployment.trainer(None).to_environ()), filled.deployment.root)
    at_s, cursors, peak = [0.0], [0], 0.0
    child.start()
    started = time.monotonic()
    try:
        while cursors[-1] < filled.messages:
            if time.monotonic() - started > _PATIENCE_S:
                raise TimeoutError(f"{cursors[-1]} of {filled.messages} messages in {_PATIENCE_S:g} s")
            time.sleep(_POLL_S)
            cursor = state.progress().cursor
            if cursor > cursors[-1]:
                at_s.append(time.monotonic() - started)
                cursors.append(cursor)
                peak = peak_rss_mb(child.pid)
    finally:
        child.stop(30.0)
    return Run(tuple(at_s), tuple(cursors), peak, tuple(read_account(deployment).faults()))


def _lines(filled: History, run: Run) -> list[str]:
    """Rates leave out the start of the process: they begin with its first commit."""
    edges = np.linspace(run.cursors[1], filled.messages, 11)
    times = np.interp(edges, run.cursors, run.at_s)
    share = filled.events / filled.messages
    rates = np.diff(edges) * share / np.diff(times)
    return [
        f"  {filled.events:>9,} events: {filled.events / run.at_s[-1]:6.0f}/s with the start of the process, "
        f"peak {run.peak_rss_mb:.0f} MB; accounting: {'; '.join(run.faults) or 'balanced'}",
        f"    each tenth, events/s: {' '.join(f'{rate:.0f}' for rate in rates)}",
    ]
