"""MABWiser as a player: a regression, or counts, of its own for every item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mabwiser.mab import MAB, LearningPolicy
from numpy.typing import NDArray

from benchmarks.quality.trials import Experience, Game
from benchmarks.quality.worlds import Matrix, Vector

CONTEXTUAL = ("LinTS", "LinUCB", "LinGreedy")


class Arms:
    """Settings: `policy`, the name of a LearningPolicy, and `arguments`, its own; `constant`: whether a 1 is put in
    front of the person's features, for its regressions have no intercept.

    `warm_start`, where given, is the distance quantile within which an item without data takes the regression of the
    nearest item by features: the one use that MABWiser has for what is known of items.
    """

    def __init__(self, settings: Mapping[str, Any], game: Game) -> None:
        policy = getattr(LearningPolicy, settings["policy"])(**settings["arguments"])
        self._is_contextual = settings["policy"] in CONTEXTUAL
        self._has_constant = settings.get("constant", False)
        self._warm_start = settings.get("warm_start")
        self._items, self._rng = game.items, np.random.default_rng([game.seed, 3])
        self._mab: MAB | None = None
        self._policy, self._seed = policy, game.seed

    def choose(self, people: Matrix, available: NDArray[np.bool_]) -> tuple[NDArray[np.intp], Vector]:
        """See Player. Before it has learnt, MABWiser cannot be asked, and any item is shown."""
        no_propensity = np.full(len(people), np.nan)
        if self._mab is None:
            return self._rng.choice(np.flatnonzero(available), size=len(people)), no_propensity
        self._offer(np.flatnonzero(available).tolist())
        if self._is_contextual:
            return np.array(self._mab.predict(self._context(people))), no_propensity
        return np.array([self._mab.predict() for _ in people]), no_propensity

    def learn(self, experience: Experience) -> None:
        """See Player."""
        contexts = (self._context(experience.people),) if self._is_contextual else ()
        if self._mab is None:
            self._mab = MAB(np.flatnonzero(experience.available).tolist(), self._policy, seed=self._seed)
            self._mab.fit(experience.shown, experience.clicks, *contexts)
        else:
            self._mab.partial_fit(experience.shown, experience.clicks, *contexts)

    def _context(self, people: Matrix) -> Matrix:
        return np.hstack([np.ones((len(people), 1)), people]) if self._has_constant else people

    def _offer(self, available: list[int]) -> None:
        assert self._mab is not None
        for arm in sorted(set(available) - set(self._mab.arms)):
            self._mab.add_arm(arm)
        if self._warm_start is not None and self._mab.cold_arms:
            self._mab.warm_start({arm: self._items[arm].tolist() for arm in available}, self._warm_start)
