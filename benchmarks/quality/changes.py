"""When the world changes at half time: the best items change, or new items come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.quality.ours import DEFAULTS, with_half_life
from benchmarks.quality.stage import MABWISER, OURS, VOWPAL, Job, play_all
from benchmarks.quality.trials import Trial
from benchmarks.quality.worlds import BATCH, Setting, Vector

# The competitors play at their best settings for the same shop without a change.
TUNED_ON = Setting(50, 0.02, 50_000)
DRIFT = Setting(50, 0.02, 100_000, drifts=True)
ARRIVALS = Setting(50, 0.02, 50_000, arrivals=10)
HALF_LIFE_ROUNDS = 10_000
# Curves are means over seeds and over this many batches.
_SMOOTH = 4
_SEEDS = 10


def measure(tuned: Mapping[str, Mapping[str, Any]], seeds: int, workers: int) -> Iterator[str]:
    """The lines to print; more than _SEEDS seeds would only cost time."""
    seeds = min(seeds, _SEEDS)
    players = {"omakase, defaults (nothing forgotten)": (OURS, DEFAULTS)}
    rivals = {library: (library, tuned[library]["settings"]) for library in (MABWISER, VOWPAL) if library in tuned}
    forgetful = {f"omakase, half-life {HALF_LIFE_ROUNDS} rounds": (OURS, with_half_life(HALF_LIFE_ROUNDS))}
    yield f"{DRIFT}, {DRIFT.rounds} rounds: tastes and items drawn anew at half time; {seeds} seeds"
    yield "  (earned: share of the clicks that a perfect choice would have added to a random one)"
    for name, trials in _play(DRIFT, {**players, **forgetful, **rivals}, seeds, workers).items():
        yield f"  {name:44} {_recovery(trials)}"
    if MABWISER in tuned:
        library, settings = rivals[MABWISER]
        rivals[f"{MABWISER}, warm start"] = (library, {**settings, "warm_start": 0.5})
    yield f"{ARRIVALS}, {ARRIVALS.rounds} rounds: {ARRIVALS.arrivals} new items at half time, two of them good"
    for name, trials in _play(ARRIVALS, {**players, **rivals}, seeds, workers).items():
        yield f"  {name:44} {_audience(trials)}"


def _play(
    setting: Setting, players: Mapping[str, tuple[str, Mapping[str, Any]]], seeds: int, workers: int
) -> dict[str, list[Trial]]:
    jobs = [Job(setting, seed, *player) for player in players.values() for seed in range(seeds)]
    trials = play_all(jobs, workers)
    return {name: trials[i * seeds : (i + 1) * seeds] for i, name in enumerate(players)}


def _recovery(trials: list[Trial]) -> str:
    """How soon half of what the drift cost is earned again."""
    earned = _smooth(_mean(t.clicked - t.random for t in trials) / _mean(t.best - t.random for t in trials))
    half = len(trials[0].people) // 2
    before, after = earned[half - _SMOOTH], earned[half:]
    lowest = after[0]
    back = np.flatnonzero(after >= (before + lowest) / 2)
    rounds = f"after {(int(back[0]) + _SMOOTH) * BATCH} rounds" if back.size else "not within the run"
    return f"earned {before:.0%} before, {lowest:.0%} just after, {after[-1]:.0%} at the end; half is back {rounds}"


def _audience(trials: list[Trial]) -> str:
    """How soon good newcomers are shown half as often as they should be, and how often they are."""
    half = len(trials[0].people) // 2
    share = _smooth(_mean(t.newcomers[half:] for t in trials))
    wanted = float(np.mean([t.wanted[half:].mean() for t in trials]))
    found = np.flatnonzero(share >= wanted / 2)
    rounds = f"after {(int(found[0]) + _SMOOTH) * BATCH} rounds" if found.size else "not within the run"
    late = np.mean([t.newcomers[half:].mean() for t in trials])
    return f"should be shown {wanted:.1%}, were {late:.1%}, {share[-1]:.1%} at the end; half of it {rounds}"


def _mean(curves: Iterable[Vector]) -> Vector:
    mean: Vector = np.mean(list(curves), axis=0)
    return mean


def _smooth(curve: Vector) -> Vector:
    """Means over _SMOOTH batches; the first is that of batches 0 to _SMOOTH - 1."""
    return np.convolve(curve, np.ones(_SMOOTH) / _SMOOTH, mode="valid")
