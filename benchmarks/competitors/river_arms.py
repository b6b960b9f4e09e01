"""River's LinUCB as a player: a Bayesian regression in plain Python for every item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.bandit import LinUCBDisjoint

from benchmarks.quality.trials import Experience, Game
from benchmarks.quality.worlds import Matrix, Vector


class Rivers:
    """Settings: alpha and beta, the precisions of the prior and of the noise."""

    def __init__(self, settings: Mapping[str, Any], game: Game) -> None:
        self._policy = LinUCBDisjoint(settings["alpha"], settings["beta"], seed=game.seed)

    def choose(self, people: Matrix, available: NDArray[np.bool_]) -> tuple[NDArray[np.intp], Vector]:
        """See Player."""
        arms = np.flatnonzero(available).tolist()
        shown = [self._policy.pull(arms, context=_named(person)) for person in people]
        return np.array(shown), np.full(len(people), np.nan)

    def learn(self, experience: Experience) -> None:
        """See Player."""
        for person, item, click in zip(experience.people, experience.shown, experience.clicks, strict=True):
            self._policy.update(int(item), _named(person), float(click))


def _named(row: Vector) -> dict[int, float]:
    return dict(enumerate(row.tolist()))
