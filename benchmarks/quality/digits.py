"""scikit-learn's handwritten digits as a bandit: ten items, a picture is the person, and only the right item clicks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.competitors import environment
from benchmarks.quality.worlds import Crowd, Matrix

DIGITS = 10
PIXELS = 64
_FETCH_S = 600.0


@dataclass(frozen=True, slots=True)
class Sheet:
    """The data set. Shapes: pictures (1797, PIXELS), 0 to 1; digits (1797,)."""

    pictures: Matrix
    digits: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class DigitsSetting:
    """Batches are smaller than a shop's: there are only 1797 pictures."""

    rounds: int
    batch: int = 100

    def game(self, seed: int) -> DigitsGame:
        return DigitsGame(self, seed)

    def __str__(self) -> str:
        return "digits"


class DigitsGame:
    """All pictures in a random order, again and again. Of the items nothing is known but which is which."""

    def __init__(self, setting: DigitsSetting, seed: int) -> None:
        self.seed = seed
        self.items = np.eye(DIGITS)
        self.good_newcomers = np.array([], dtype=np.intp)
        self._setting, self._sheet = setting, load()

    def crowds(self) -> Iterator[Crowd]:
        """See Game."""
        rounds, batch, pictures = self._setting.rounds, self._setting.batch, len(self._sheet.digits)
        rng = np.random.default_rng([self.seed, 2])
        order = np.concatenate([rng.permutation(pictures) for _ in range(-(-rounds // pictures))])
        for start in range(0, rounds - batch + 1, batch):
            rows = order[start : start + batch]
            luck, available = np.full(batch, 0.5), np.ones(DIGITS, bool)
            yield Crowd(self._sheet.pictures[rows], self.items[self._sheet.digits[rows]], luck, available)


@cache
def load() -> Sheet:
    """From scikit-learn, or from the environment that has it. Raises: NotInstalled."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        pictures, digits = environment.ask("benchmarks.quality.digits", None, _FETCH_S)
        return Sheet(np.array(pictures), np.array(digits))
    found = load_digits()
    return Sheet(found.data / 16.0, found.target)


if __name__ == "__main__":
    sheet = load()
    print(json.dumps([sheet.pictures.tolist(), sheet.digits.tolist()]))
