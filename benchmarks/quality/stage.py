"""Where trials are played: worker processes of both environments, a line of JSON in and a line out for each trial."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import local
from typing import Any, TypeAlias

import numpy as np

from benchmarks.competitors import environment
from benchmarks.quality.digits import DigitsSetting
from benchmarks.quality.trials import Game, Player, Trial, play
from benchmarks.quality.worlds import Setting

AnySetting: TypeAlias = Setting | DigitsSetting

OURS, VOWPAL, MABWISER, RIVER = "omakase", "vowpalwabbit", "mabwiser", "river"


@dataclass(frozen=True, slots=True)
class Job:
    """One trial to play: who, with which settings, what and with which seed."""

    setting: AnySetting
    seed: int
    library: str
    settings: Mapping[str, Any]


def play_all(jobs: Sequence[Job], workers: int) -> list[Trial]:
    """The trials in the order of their jobs, `workers` at a time.

    Raises: NotInstalled; RuntimeError if a process fails: it has said why on standard error.
    """
    if any(job.library != OURS for job in jobs):
        environment.python()
    here, started = local(), []

    def play_one(job: Job) -> Trial:
        processes = here.__dict__.setdefault("processes", {})
        is_ours = job.library == OURS
        if is_ours not in processes:
            interpreter = Path(sys.executable) if is_ours else None
            processes[is_ours] = environment.start("benchmarks.quality.stage", interpreter)
            started.append(processes[is_ours])
        process = processes[is_ours]
        process.stdin.write(json.dumps({"digits": isinstance(job.setting, DigitsSetting), **asdict(job)}) + "\n")
        process.stdin.flush()
        if not (answer := process.stdout.readline()):
            raise RuntimeError(f"{job.library} failed on {job.setting} with {dict(job.settings)}")
        return Trial(**{name: np.array(column) for name, column in json.loads(answer).items()})

    try:
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(play_one, jobs))
    finally:
        for process in started:
            process.kill()
            process.communicate()


def _player(library: str, settings: Mapping[str, Any], game: Game) -> Player:
    """Imports what it needs only here: neither environment has everything."""
    if library == OURS:
        from benchmarks.quality.ours import Ours

        return Ours(settings, game)
    if library == VOWPAL:
        from benchmarks.competitors.vowpal import Vowpal

        return Vowpal(settings, game)
    if library == MABWISER:
        from benchmarks.competitors.mabwiser_arms import Arms

        return Arms(settings, game)
    from benchmarks.competitors.river_arms import Rivers

    return Rivers(settings, game)


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        setting = (DigitsSetting if job["digits"] else Setting)(**job["setting"])
        game = setting.game(job["seed"])
        trial = play(game, _player(job["library"], job["settings"], game))
        print(json.dumps({name: column.tolist() for name, column in asdict(trial).items()}), flush=True)


if __name__ == "__main__":
    main()
