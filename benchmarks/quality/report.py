"""What `python -m benchmarks quality` prints: regret beside that of the competitors at their best settings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.quality import changes
from benchmarks.quality.digits import DigitsSetting
from benchmarks.quality.intervals import Ratio
from benchmarks.quality.ours import DEFAULTS, PER_ITEM
from benchmarks.quality.stage import MABWISER, OURS, RIVER, VOWPAL, AnySetting, Job, play_all
from benchmarks.quality.tuning import GAMES, PICTURES, found
from benchmarks.quality.worlds import BATCH

# The most that ours may lose beside each, as a ratio of regrets; on digits nothing more than the best library.
GOALS = {MABWISER: 0.80, VOWPAL: 1.05}
_DIGITS_GOAL = 1.0
# River takes more than a minute a run.
_RIVER_SEEDS = 3


def measure(seeds: int, workers: int | None = None) -> Iterator[str]:
    """The lines to print, each as soon as it is known. `workers` play at a time: without a number, one a core."""
    workers = workers or os.cpu_count() or 1
    yield f"quality, regret in clicks beside the best item for each person, {seeds} seeds"
    yield f"  batches of {BATCH} (digits {PICTURES.batch}) learnt one batch late; ours has its defaults, the others the"
    yield "  best setting found on other seeds; ratio of mean regrets, ours / theirs, with a paired 95 % interval"
    tuned = found()
    for setting in GAMES:
        yield from _compare(setting, tuned.get(str(setting), {}), seeds, workers)
    yield from changes.measure(tuned.get(str(changes.TUNED_ON), {}), seeds, workers)


def _compare(setting: AnySetting, tuned: Mapping[str, Mapping[str, Any]], seeds: int, workers: int) -> Iterator[str]:
    players = [(OURS, DEFAULTS), (OURS, PER_ITEM)]
    players += [(library, tuned[library]["settings"]) for library in (MABWISER, VOWPAL, RIVER) if library in tuned]
    jobs = [
        Job(setting, seed, library, settings)
        for library, settings in players
        for seed in range(min(seeds, _RIVER_SEEDS) if library == RIVER else seeds)
    ]
    trials = play_all(jobs, workers)
    regrets: dict[str, list[float]] = {}
    for job, trial in zip(jobs, trials, strict=True):
        regrets.setdefault(_name(job.library, job.settings), []).append(trial.regret)
    random = float(np.mean([trial.random_regret for trial in trials[:seeds]]))
    yield f"{setting}, {setting.rounds} rounds; random {random:.0f}"
    yield from _rows(regrets, players, isinstance(setting, DigitsSetting))


def _rows(
    regrets: Mapping[str, Sequence[float]], players: Sequence[tuple[str, Mapping[str, Any]]], is_digits: bool
) -> Iterator[str]:
    ours = np.array(regrets[_name(*players[0])])
    for library, settings in players:
        name = _name(library, settings)
        theirs = np.array(regrets[name])
        line = f"  {name:64} {theirs.mean():8.0f}"
        if library == OURS:
            yield line
            continue
        ratio = Ratio.of(ours[: len(theirs)], theirs)
        goal = _DIGITS_GOAL if is_digits else GOALS.get(library)
        verdict = "" if goal is None else f"  goal {goal:.2f}: {'met' if ratio.value <= goal else 'missed'}"
        yield f"{line}  ratio {ratio}{verdict}"


def _name(library: str, settings: Mapping[str, Any]) -> str:
    """Who plays, as the table names it."""
    if library == OURS:
        kind = settings["model"].get("type", "linear")
        return f"omakase {kind}, defaults"
    if library == VOWPAL:
        return f"{library} {settings['arguments']} ({settings['form']})"
    return f"{library} {json.dumps(settings).translate(str.maketrans('', '', '{}'))}".replace('"', "")
