"""Examples in columns, as a warehouse or a log holds them, to the sums that a model adds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.core.features import cross
from omakase.core.posterior import Matrix, Outcome, Statistics, Vector
from omakase.core.rows import Rows
from omakase.core.sessions import Example
from omakase.core.training import OUTCOMES

# Of the crossed features at most this many numbers are held at once: 16 MB.
_BLOCK = 2_000_000


@dataclass(frozen=True, slots=True)
class ExampleColumns:
    """Examples of one model, corrections and retractions among them.

    `after` is what is learnt, by outcome, and `before` what had been learnt of the same delivery. NaN stands for
    nothing: a row without `before` is a new example, one without `after` takes its example back. `item_ids` is left
    out where the model does not learn by item.
    Shapes: contexts (n, m), items (n, p), all others (n,). Units: at in Unix seconds, when the slate was issued.
    """

    contexts: NDArray[np.float32]
    items: NDArray[np.float32]
    weight: Vector
    at: Vector
    after: Mapping[str, Vector]
    before: Mapping[str, Vector]
    item_ids: Sequence[str] = ()

    @classmethod
    def of(cls, examples: Sequence[Example]) -> ExampleColumns:
        """Raises: InvalidInput if the examples differ in dimensions; ValueError if there are none."""
        deliveries = [example.delivery for example in examples]
        contexts = {delivery.context_factor.size for delivery in deliveries}
        items = {delivery.item_factor.size for delivery in deliveries}
        if len(contexts) > 1 or len(items) > 1:
            raise InvalidInput(f"the examples differ in dimensions: {contexts} by {items}")
        return cls(
            np.stack([delivery.context_factor for delivery in deliveries]),
            np.stack([delivery.item_factor for delivery in deliveries]),
            np.array([example.weight for example in examples]),
            np.array([example.at for example in examples]),
            {name: _column([example.outcomes for example in examples], name) for name in OUTCOMES},
            {name: _column([example.before for example in examples], name) for name in OUTCOMES},
            [delivery.item_id for delivery in deliveries],
        )

    def __len__(self) -> int:
        return int(self.at.size)

    def rows(self) -> Rows:
        """Their clicks alone. Raises: InvalidInput."""
        after, before = self.after["click"], self.before["click"]
        return Rows(self.contexts, self.items, self.weight, self.at, after, before)


def refold(examples: ExampleColumns, half_life_s: float = math.inf) -> Statistics:
    """What `summarise` makes of the same examples. Cost: O(n d²), matrix products over blocks of rows.

    Raises: InvalidInput if a number is not finite; ValueError if there are no examples.
    """
    if not len(examples):
        raise ValueError("there is nothing to refold")
    as_of = float(examples.at.max())
    weight = examples.weight * 2.0 ** ((examples.at - as_of) / half_life_s)
    is_new, is_gone = np.isnan(examples.before["click"]), np.isnan(examples.after["click"])
    count = is_new.astype(np.float64) - is_gone
    after = np.stack([np.nan_to_num(examples.after[name]) for name in OUTCOMES], axis=1)
    before = np.stack([np.nan_to_num(examples.before[name]) for name in OUTCOMES], axis=1)
    change = weight[:, None] * (after - before)
    energies = weight @ (after**2 - before**2)
    d = examples.items.shape[1] * (1 + examples.contexts.shape[1])
    precision, moments = np.zeros((d, d)), np.zeros((d, len(OUTCOMES)))
    rows = max(1, _BLOCK // d)
    for start in range(0, len(examples), rows):
        some = slice(start, start + rows)
        x = cross(examples.contexts[some], examples.items[some])
        precision += _gram(x, weight[some] * count[some])
        moments += x.T @ change[some]
    if not (np.isfinite(precision).all() and np.isfinite(moments).all() and np.isfinite(energies).all()):
        raise InvalidInput("an example holds a number that is not finite")
    outcomes = {name: Outcome(moments[:, i].copy(), float(energies[i])) for i, name in enumerate(OUTCOMES)}
    total = float(weight @ count)
    return Statistics(precision, outcomes, total, int(count.sum()), as_of, half_life_s)


def _column(outcomes: Sequence[Mapping[str, float] | None], name: str) -> Vector:
    return np.array([math.nan if each is None else each[name] for each in outcomes])


def _gram(x: Matrix, weight: Vector) -> Matrix:
    """Σ w·xxᵀ. A matrix times its own transpose costs half of a product: rows are scaled by √|w|, by sign."""
    if (weight == 1.0).all():
        return x.T @ x
    scaled = x * np.sqrt(np.abs(weight))[:, None]
    negative = weight < 0
    if not negative.any():
        return scaled.T @ scaled
    added, removed = scaled[~negative], scaled[negative]
    return added.T @ added - removed.T @ removed
