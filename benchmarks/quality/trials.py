"""A policy plays a world: batch after batch, learning each one batch late."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.worlds import Crowd, Matrix, Vector


@dataclass(frozen=True, slots=True)
class Experience:
    """What became of one batch. Shapes: people (b, m), available (n,), the others (b,).

    `propensities` are the probabilities with which the shown items were chosen, as the player itself says.
    """

    people: Matrix
    available: NDArray[np.bool_]
    shown: NDArray[np.intp]
    clicks: Vector
    propensities: Vector


class Player(Protocol):
    """A policy with its model."""

    def choose(self, people: Matrix, available: NDArray[np.bool_]) -> tuple[NDArray[np.intp], Vector]:
        """An available item for each person, with the probability that it was chosen (NaN where nobody asks)."""

    def learn(self, experience: Experience) -> None:
        """Take in one batch."""


class Game(Protocol):
    """What is played. Shapes: items (n, p) is what is known of the items."""

    items: Matrix
    seed: int
    good_newcomers: NDArray[np.intp]

    def crowds(self) -> Iterator[Crowd]:
        """All batches in order, the same at every call."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How it went, batch by batch. Shapes: (batches,).

    people: how many there were; the others are means over them. clicked, best and random are chances: of the items
    shown, of the best available ones, of all available ones. newcomers: share of good newcomers among those shown.
    wanted: their share if always the best item were shown.
    """

    people: Vector
    clicked: Vector
    best: Vector
    random: Vector
    newcomers: Vector
    wanted: Vector

    @property
    def regret(self) -> float:
        """Clicks that the best items would have got more. Units: expected clicks."""
        return float(self.people @ (self.best - self.clicked))

    @property
    def random_regret(self) -> float:
        """What showing random items would have cost."""
        return float(self.people @ (self.best - self.random))


def play(game: Game, player: Player) -> Trial:
    """Play all rounds. A batch is learnt when the one after it has been shown."""
    rows, waiting = [], None
    for crowd in game.crowds():
        shown, propensities = player.choose(crowd.people, crowd.available)
        chances = crowd.chances[np.arange(shown.size), shown]
        if waiting is not None:
            player.learn(waiting)
        clicks = (crowd.luck < chances).astype(float)
        waiting = Experience(crowd.people, crowd.available, shown, clicks, propensities)
        possible = np.where(crowd.available, crowd.chances, -1.0)
        is_new = np.isin((shown, possible.argmax(axis=1)), game.good_newcomers).mean(axis=1)
        means = chances.mean(), possible.max(axis=1).mean(), crowd.chances[:, crowd.available].mean()
        rows.append((len(shown), *means, *is_new))
    return Trial(*np.array(rows).T)
