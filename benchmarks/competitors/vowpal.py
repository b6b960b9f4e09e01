"""Vowpal Wabbit as a player: one example per item, the person's features shared, taste and style crossed.

Items are parsed once and people once; only the item that carries a label is parsed anew. That changes nothing in what
is learnt and spares Vowpal Wabbit most of its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vowpalwabbit import LabelType, Workspace

from benchmarks.quality.trials import Experience, Game
from benchmarks.quality.worlds import Matrix, Vector

# What stands beside the item's features. `ids`: its id, to learn what the features do not explain. `crossed ids`: also
# the id crossed with the person, a model of its own for every item.
FORMS = ("features", "ids", "crossed ids")
_CROSSES = {"features": "-q CI", "ids": "-q CI", "crossed ids": "-q CI -q CA"}


class Vowpal:
    """Settings: `arguments` as on its command line, the exploration among them, and `form`, one of FORMS."""

    def __init__(self, settings: Mapping[str, Any], game: Game) -> None:
        form = settings["form"]
        arguments = f"--cb_explore_adf {settings['arguments']} {_CROSSES[form]} --random_seed {game.seed + 1}"
        self._vw = Workspace(f"{arguments} --quiet")
        has_ids = form != "features"
        self._lines = [_features("I", row) + f" |A a{i}:1" * has_ids for i, row in enumerate(game.items)]
        self._items = [self._parse(line) for line in self._lines]
        self._rng = np.random.default_rng([game.seed, 3])

    def choose(self, people: Matrix, available: NDArray[np.bool_]) -> tuple[NDArray[np.intp], Vector]:
        """See Player. The shown item is drawn from the probabilities that Vowpal Wabbit gives."""
        at = np.flatnonzero(available)
        items = [self._items[i] for i in at]
        shown, propensities = [], []
        for person, luck in zip(people, self._rng.random(len(people)), strict=True):
            chances = np.array(self._vw.predict([self._parse("shared " + _features("C", person)), *items]))
            cumulated = np.cumsum(chances / chances.sum())
            place = min(int(np.searchsorted(cumulated, luck, side="right")), at.size - 1)
            shown.append(at[place])
            propensities.append(chances[place])
        return np.array(shown), np.array(propensities)

    def learn(self, experience: Experience) -> None:
        """See Player. A click is a cost of -1; every example carries the probability with which it was shown."""
        at = np.flatnonzero(experience.available).tolist()
        columns = (experience.people, experience.shown.tolist(), experience.clicks, experience.propensities)
        for person, item, click, propensity in zip(*columns, strict=True):
            labelled = self._parse(f"0:{-click}:{propensity} {self._lines[item]}")
            rest = [labelled if i == item else self._items[i] for i in at]
            self._vw.learn([self._parse("shared " + _features("C", person)), *rest])

    def _parse(self, line: str) -> Any:
        return self._vw.example(line, labelType=LabelType.CONTEXTUAL_BANDIT)


def _features(namespace: str, row: Vector) -> str:
    return f"|{namespace} " + " ".join(f"{namespace.lower()}{j}:{value:.6g}" for j, value in enumerate(row) if value)
