"""Examples of one model as they are, for learners whose batches are more than sums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.core.features import cross
from omakase.core.sessions import Example

Vector: TypeAlias = NDArray[np.float64]

_COLUMNS = ("contexts", "items", "weight", "at", "after", "before")


@dataclass(frozen=True, slots=True)
class Rows:
    """New examples, corrections and retractions, of clicks only.

    `after` is what is learnt, and `before` what had been learnt of the same delivery; NaN stands for nothing: a row
    without `before` is a new example, one without `after` takes its example back.
    Shapes: contexts (n, m), items (n, p), all others (n,). Units: at in Unix seconds, when the slate was issued.
    Raises: InvalidInput if a number is not finite, not within its bounds, or the columns differ in length.
    """

    contexts: NDArray[np.float32]
    items: NDArray[np.float32]
    weight: Vector
    at: Vector
    after: Vector
    before: Vector

    def __post_init__(self) -> None:
        if {len(self.contexts), len(self.items), self.weight.size, self.after.size, self.before.size} != {len(self)}:
            raise InvalidInput("the columns of examples differ in length")
        if self.contexts.ndim != 2 or self.items.ndim != 2 or not self.items.shape[1]:
            raise InvalidInput("an example has a context's factor and an item's, which is not empty")
        if not all(np.isfinite(column).all() for column in (self.contexts, self.items, self.weight, self.at)):
            raise InvalidInput("an example holds a number that is not finite")
        clicks = np.where(np.isnan(self.after), self.before, self.after)
        if not ((clicks >= 0.0) & (clicks <= 1.0)).all() or ((self.before < 0.0) | (self.before > 1.0)).any():
            raise InvalidInput("a click is a number from 0 to 1, after or before")
        if (self.weight < 0.0).any():
            raise InvalidInput("an example weighs less than nothing")
        if not ((self.examination > 0.0) & (self.examination <= 1.0)).all():
            raise InvalidInput("an item's factor starts with the probability that it was looked at, above 0, at most 1")

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Rows:
        """Raises: InvalidInput, also if the examples differ in dimensions."""
        try:
            contexts = np.stack([example.delivery.context_factor for example in examples])
            items = np.stack([example.delivery.item_factor for example in examples])
        except ValueError as error:
            raise InvalidInput(f"the examples differ in dimensions: {error}") from error
        return cls(
            contexts,
            items,
            np.array([example.weight for example in examples]),
            np.array([example.at for example in examples]),
            np.array([np.nan if example.outcomes is None else example.outcomes["click"] for example in examples]),
            np.array([np.nan if example.before is None else example.before["click"] for example in examples]),
        )

    def __len__(self) -> int:
        return int(self.at.size)

    def __add__(self, other: Rows) -> Rows:
        """One after the other. Raises: InvalidInput if they differ in dimensions."""
        if self.widths != other.widths:
            raise InvalidInput(f"cannot add examples of {other.widths} to examples of {self.widths} dimensions")
        return Rows(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in _COLUMNS))

    def taken(self, which: NDArray[np.bool_]) -> Rows:
        """Some of them. Shapes: which (n,)."""
        return Rows(*(getattr(self, name)[which] for name in _COLUMNS))

    @property
    def widths(self) -> tuple[int, int]:
        """(m, p)."""
        return int(self.contexts.shape[1]), int(self.items.shape[1])

    @property
    def dimensions(self) -> int:
        """d."""
        m, p = self.widths
        return p * (1 + m)

    @property
    def examination(self) -> Vector:
        """The probability that the item was looked at where it stood: what its recorded factor was multiplied by.

        Shapes: (n,). It is the factor's first number, for the factor itself starts with the constant 1.
        """
        return self.items[:, 0].astype(np.float64)

    @property
    def count(self) -> Vector:
        """1 for a new example, 0 for a correction, -1 for one taken back. Shapes: (n,)."""
        return np.isnan(self.before).astype(np.float64) - np.isnan(self.after)

    @property
    def change(self) -> Vector:
        """By how much the click differs from what had been learnt. Shapes: (n,)."""
        return np.nan_to_num(self.after) - np.nan_to_num(self.before)

    def blocks(self, numbers: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Which rows, and their x as if looked at for sure, in blocks of about so many numbers. Shapes: x (k, d)."""
        size = max(1, numbers // max(self.dimensions, 1))
        for start in range(0, len(self), size):
            some = slice(start, min(start + size, len(self)))
            yield some, cross(self.contexts[some], self.items[some]) / self.examination[some, None]
