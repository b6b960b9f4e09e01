"""The competitors' best settings: `python -m benchmarks.quality.tuning [--workers N]`, an hour or two.

Every library plays each game with every setting of its grid on a few seeds that no report uses; the better third goes
on to further seeds, and the best of those is written to `settings.json`, which the reports read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.competitors import environment
from benchmarks.quality.digits import DigitsSetting
from benchmarks.quality.stage import MABWISER, RIVER, VOWPAL, AnySetting, Job, play_all
from benchmarks.quality.worlds import Setting

SETTINGS = Path(__file__).with_name("settings.json")
SHOPS = tuple(
    Setting(items, rate, rounds) for items, rounds in ((50, 50_000), (500, 20_000)) for rate in (0.005, 0.02, 0.08)
)
PICTURES = DigitsSetting(10_000)
GAMES: tuple[AnySetting, ...] = (PICTURES, *SHOPS)
# Reports count their seeds from 0.
_FIRST_SEED, _ALL_PLAY, _BEST_PLAY = 1001, 2, 4
Settings = Mapping[str, Any]


def vowpal(setting: AnySetting) -> Iterator[Settings]:
    """SquareCB over its scale, learning rate and form; beside it other explorations. Many items cost it seconds a run:
    the grid for them leaves out what came last with few.
    """
    if isinstance(setting, DigitsSetting):
        for scale, rate in product((3, 10, 30, 100), (0.5, 2, 5)):
            yield {"form": "features", "arguments": f"--squarecb --gamma_scale {scale} -l {rate}"}
        return
    is_large = setting.items > 100
    scales, rates = ((1000, 3000), (0.5,)) if is_large else ((100, 300, 1000, 3000, 10_000), (0.1, 0.5))
    for scale, rate, form in product(scales, rates, ("features", "crossed ids")):
        yield {"form": form, "arguments": f"--squarecb --gamma_scale {scale} -l {rate}"}
    if not is_large:
        yield {"form": "features", "arguments": "--softmax --lambda 1000"}
        yield {"form": "features", "arguments": "--regcb --mellowness 0.01 --cb_min_cost -1 --cb_max_cost 0"}


def mabwiser(setting: AnySetting) -> Iterator[Settings]:
    """Regressions, of which only the digits' lack an intercept (a shop's devices add up to one), and counts."""
    alphas, ridges = (0.03, 0.1, 0.2), (1.0, 10.0, 30.0)
    if isinstance(setting, DigitsSetting):
        alphas, ridges = (0.05, 0.1, 0.2), (0.25, 0.5, 1.0)
    for alpha, l2 in product(alphas, ridges):
        yield {"policy": "LinTS", "arguments": {"alpha": alpha, "l2_lambda": l2}}
    for alpha in (0.01, 0.03, 0.1, 0.2):
        yield {"policy": "LinUCB", "arguments": {"alpha": alpha}}
    for epsilon in (0.0, 0.03):
        yield {"policy": "LinGreedy", "arguments": {"epsilon": epsilon}}
    if isinstance(setting, DigitsSetting):
        yield {"policy": "LinTS", "arguments": {"alpha": 0.1}, "constant": True}
    elif setting.items <= 100:
        yield {"policy": "ThompsonSampling", "arguments": {}}


def river(setting: AnySetting) -> Iterator[Settings]:
    """In one game: it takes 1.6 ms a round with 50 items, ten times that with 500, and with 64 features far more."""
    if setting == SHOPS[1]:
        for alpha, beta in product((1.0, 100.0), (100.0, 1000.0)):
            yield {"alpha": alpha, "beta": beta}


GRIDS = {VOWPAL: vowpal, MABWISER: mabwiser, RIVER: river}


def best(setting: AnySetting, library: str, grid: Sequence[Settings], workers: int) -> dict[str, Any]:
    """The best setting of a grid, its mean regret, and how much was tried."""
    first = range(_FIRST_SEED, _FIRST_SEED + _ALL_PLAY)
    further = range(first.stop, first.stop + _BEST_PLAY)
    regrets = _regrets(setting, library, grid, first, workers)
    order = np.argsort(regrets.mean(axis=1))[: max(2, len(grid) // 3)]
    finalists = [grid[i] for i in order]
    more = np.hstack([regrets[order], _regrets(setting, library, finalists, further, workers)])
    winner = int(more.mean(axis=1).argmin())
    return {"settings": finalists[winner], "regret": round(float(more[winner].mean()), 1), "tried": len(grid)}


def _regrets(
    setting: AnySetting, library: str, grid: Sequence[Settings], seeds: range, workers: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Shapes: (settings, seeds)."""
    trials = play_all([Job(setting, seed, library, settings) for settings in grid for seed in seeds], workers)
    return np.array([trial.regret for trial in trials]).reshape(len(grid), len(seeds))


def found() -> dict[str, dict[str, Any]]:
    """What tuning has found so far: by game, by library."""
    read: dict[str, dict[str, Any]] = json.loads(SETTINGS.read_text()) if SETTINGS.is_file() else {}
    return read


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.tuning", description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--libraries", nargs="*", default=list(GRIDS), choices=list(GRIDS))
    parser.add_argument("--games", default="", help="only those whose name holds this")
    given = parser.parse_args()
    environment.python()
    for setting, library in product(GAMES, given.libraries):
        if given.games not in str(setting) or not (grid := list(GRIDS[library](setting))):
            continue
        tuned = best(setting, library, grid, given.workers)
        print(f"{setting}: {library} {tuned}", flush=True)
        every = found()
        every.setdefault(str(setting), {})[library] = tuned
        SETTINGS.write_text(json.dumps(every, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
