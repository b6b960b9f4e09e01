"""The quality benchmark measures what it says: worlds keep their promises, learning comes a batch late, ours learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.quality.intervals import Ratio
from benchmarks.quality.ours import DEFAULTS, Ours
from benchmarks.quality.trials import Experience, play
from benchmarks.quality.worlds import BATCH, Matrix, Setting, Vector, World

SETTING = Setting(items=20, base_rate=0.02, rounds=8 * BATCH)


class Oracle:
    """Shows what is best, or the worst of it; notes what it was told when."""

    def __init__(self, world: World, sign: int = 1) -> None:
        self._crowds, self._sign = world.crowds(), sign
        self.told: list[str] = []

    def choose(self, people: Matrix, available: NDArray[np.bool_]) -> tuple[NDArray[np.intp], Vector]:
        self.told.append("choose")
        chances = np.where(available, self._sign * next(self._crowds).chances, -np.inf)
        return chances.argmax(axis=1), np.full(len(people), np.nan)

    def learn(self, experience: Experience) -> None:
        self.told.append("learn")


def test_random_items_are_clicked_at_the_base_rate() -> None:
    trial = play(world := World(SETTING, 1), Oracle(world))
    assert trial.random.mean() == pytest.approx(SETTING.base_rate, rel=0.1)


def test_a_world_is_the_same_at_every_call_and_another_with_another_seed() -> None:
    again, other = World(SETTING, 1), World(SETTING, 2)
    for mine, same in zip(World(SETTING, 1).crowds(), again.crowds(), strict=True):
        assert (mine.chances == same.chances).all()
        assert (mine.luck == same.luck).all()
    assert not np.allclose(again.items, other.items)


def test_who_always_shows_the_best_regrets_nothing_and_who_shows_the_worst_more_than_the_random() -> None:
    world = World(SETTING, 1)
    assert play(world, Oracle(world)).regret == pytest.approx(0)
    worst = play(world, Oracle(world, sign=-1))
    assert worst.regret > worst.random_regret


def test_a_batch_is_learnt_after_the_next_one_was_shown() -> None:
    play(world := World(SETTING, 1), oracle := Oracle(world))
    assert oracle.told[:4] == ["choose", "choose", "learn", "choose"]
    assert oracle.told.count("learn") == SETTING.rounds // BATCH - 1


def test_after_a_drift_other_items_are_best() -> None:
    crowds = list(World(replace(SETTING, drifts=True), 1).crowds())
    early, late = (crowd.chances.mean(axis=0) for crowd in (crowds[0], crowds[-1]))
    assert np.corrcoef(early, late)[0, 1] < 0.8


def test_newcomers_are_shown_by_nobody_before_half_time_and_the_good_ones_are_wanted_after() -> None:
    world = World(replace(SETTING, arrivals=5), 1)
    trial = play(world, Oracle(world))
    half = len(trial.people) // 2
    assert trial.newcomers[:half].max() == 0
    assert trial.newcomers[half:].min() > 0
    assert (trial.newcomers == trial.wanted).all()


def test_the_defaults_learn_a_world() -> None:
    world = World(replace(SETTING, base_rate=0.08), 1)
    trial = play(world, Ours(DEFAULTS, world))
    assert trial.clicked[-3:].mean() > 1.5 * trial.random[-3:].mean()


def test_a_ratio_of_pairs_is_surer_than_its_parts() -> None:
    theirs = np.random.default_rng(1).uniform(100, 1000, 30)
    ratio = Ratio.of(0.8 * theirs, theirs)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.8, 0.8, 0.8))
    unpaired = Ratio.of(0.8 * theirs[::-1], theirs)
    assert unpaired.low < 0.7 < 0.9 < unpaired.high
