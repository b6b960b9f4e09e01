"""What the references add up, as outer products one by one: nothing of the product is used here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Sums:
    """Shapes: precision (d, d), moments (d,) by outcome."""

    precision: NDArray[np.float64]
    moments: dict[str, NDArray[np.float64]]
    energies: dict[str, float] = field(default_factory=lambda: {"click": 0.0, "reward": 0.0})
    weight: float = 0.0
    examples: int = 0
    items: dict[str, Sums] = field(default_factory=dict)

    @classmethod
    def empty(cls, d: int) -> Sums:
        return cls(np.zeros((d, d)), {"click": np.zeros(d), "reward": np.zeros(d)})

    def add(self, x: NDArray[np.float64], outcomes: Mapping[str, float], weight: float = 1.0) -> None:
        self.precision += weight * np.outer(x, x)
        for name, y in outcomes.items():
            self.moments[name] += weight * y * x
            self.energies[name] += weight * y * y
        self.weight += weight
        self.examples += 1

    def of_item(self, item_id: str, q: int) -> Sums:
        """What is kept of one item besides."""
        return self.items.setdefault(item_id, Sums.empty(q))

    def merge(self, other: Sums) -> None:
        self.precision += other.precision
        for name in self.moments:
            self.moments[name] += other.moments[name]
            self.energies[name] += other.energies[name]
        self.weight += other.weight
        self.examples += other.examples


def features(context: Iterable[float], item: Iterable[float]) -> NDArray[np.float64]:
    """The item's factor, then once more for each of the context's numbers, times it."""
    x = [float(number) for number in item]
    for number in context:
        x += [float(number) * float(one) for one in item]
    return np.array(x)
