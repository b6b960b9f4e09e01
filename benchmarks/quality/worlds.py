"""Simulated shops whose truth is known: who clicks what with which probability.

The log odds of a click are

    base + person's own part + item's features' part + item's own part + taste · style

The features explain all of an item but its own part. Everything random follows from the seed: policies that play the
same world meet the same people, and a person's luck is one uniform number, so they click on either of two items of
the same chance or on neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = NDArray[np.float64]

BATCH = 500
# What an item and a person are described by: numbers, and one of a few kinds.
STYLE, CATEGORIES = 6, 4
TASTE, DEVICES = 5, 3
# Standard deviations of the parts of the log odds, over items and people.
_TASTE_AND_STYLE, _ITEM_FEATURES, _ITEM_OWN, _PERSON = 0.7, 0.4, 0.3, 0.3
# Of those that arrive later, these many suit more people than their features say. Units: log odds.
_GOOD_ARRIVALS, _GOOD_BONUS = 2, 0.3


@dataclass(frozen=True, slots=True)
class Setting:
    """What world to make, but for its seed. `base_rate`: the mean chance of a click when items are shown at random.

    drifts: at half time everyone's tastes, and what items are worth, are drawn anew. arrivals: so many of the items
    are there from half time only; the first _GOOD_ARRIVALS of them are better than their features say.
    """

    items: int
    base_rate: float
    rounds: int
    drifts: bool = False
    arrivals: int = 0

    def game(self, seed: int) -> World:
        return World(self, seed)

    def __str__(self) -> str:
        scenario = ", drift" if self.drifts else ", arrivals" if self.arrivals else ""
        return f"{self.items} items, {self.base_rate:.1%}{scenario}"


@dataclass(frozen=True, slots=True)
class Crowd:
    """One batch of people. Shapes: people (b, m), chances (b, n) of a click, luck (b,), available (n,)."""

    people: Matrix
    chances: Matrix
    luck: Vector
    available: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Truth:
    """Log odds are base + people @ person + item + people @ taste @ itemsᵀ. Shapes: (m,), (n,), (m, p)."""

    person: Vector
    item: Vector
    taste: Matrix
    base: float = 0.0

    def chances(self, people: Matrix, items: Matrix) -> Matrix:
        odds = self.base + (people @ self.person)[:, None] + self.item + people @ self.taste @ items.T
        return 1.0 / (1.0 + np.exp(-odds))


class World:
    """A shop of one setting and one seed. Shapes: items (n, p) is what is known of them."""

    def __init__(self, setting: Setting, seed: int) -> None:
        self.setting, self.seed = setting, seed
        rng = np.random.default_rng([seed, 1])
        self.items = _described(rng, setting.items, STYLE, CATEGORIES)
        self.newcomers = np.arange(setting.items) >= setting.items - setting.arrivals
        self.good_newcomers = np.flatnonzero(self.newcomers)[:_GOOD_ARRIVALS]
        self._truths = [self._truth(rng) for _ in range(1 + setting.drifts)]

    def crowds(self) -> Iterator[Crowd]:
        """See Game."""
        rng = np.random.default_rng([self.seed, 2])
        half = self.setting.rounds // BATCH // 2
        for number in range(self.setting.rounds // BATCH):
            people, luck = _described(rng, BATCH, TASTE, DEVICES), rng.random(BATCH)
            is_late = number >= half
            truth = self._truths[-1 if is_late else 0]
            available = np.ones(self.setting.items, bool) if is_late else ~self.newcomers
            yield Crowd(people, truth.chances(people, self.items), luck, available)

    def _truth(self, rng: np.random.Generator) -> _Truth:
        """Drawn, each part scaled to its standard deviation, and the base set so that random items get `base_rate`."""
        n, sample = self.setting.items, _described(rng, 2000, TASTE, DEVICES)
        weights, own = rng.normal(size=self.items.shape[1]), rng.normal(size=n) * _ITEM_OWN
        own[self.good_newcomers] = np.abs(own[self.good_newcomers]) + _GOOD_BONUS
        item = _scaled(self.items @ weights, _ITEM_FEATURES) + own
        person: Vector = rng.normal(size=(sample.shape[1],))
        person = person * float(_PERSON / np.std(sample @ person))
        taste: Matrix = rng.normal(size=(sample.shape[1], self.items.shape[1]))
        taste = taste * float(_TASTE_AND_STYLE / np.std(sample @ taste @ self.items.T))
        low, high = -20.0, 5.0
        for _ in range(50):
            truth = _Truth(person, item, taste, (low + high) / 2)
            is_high = truth.chances(sample, self.items).mean() > self.setting.base_rate
            low, high = (low, truth.base) if is_high else (truth.base, high)
        return truth


def _described(rng: np.random.Generator, count: int, numbers: int, kinds: int) -> Matrix:
    """Shapes: (count, numbers + kinds); of the kinds exactly one is 1."""
    return np.hstack([rng.normal(size=(count, numbers)), np.eye(kinds)[rng.integers(kinds, size=count)]])


def _scaled(values: Vector, deviation: float) -> Vector:
    centred: Vector = values - values.mean()
    return centred * float(deviation / centred.std())
