"""Examples in columns, as a warehouse or a log holds them, to the sums that a model adds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.core.features import cross
from omakase.core.posterior import Outcome, Statistics, Vector
from omakase.core.training import OUTCOMES

# Of the crossed features at most this many numbers are held at once: 16 MB.
_BLOCK = 2_000_000


@dataclass(frozen=True, slots=True)
class ExampleColumns:
    """Examples of one model, corrections and retractions among them.

    `after` is what is learnt, by outcome, and `before` what had been learnt of the same delivery. NaN stands for
    nothing: a row without `before` is a new example, one without `after` takes its example back.
    Shapes: contexts (n, m), items (n, p), all others (n,). Units: at in Unix seconds, when the slate was issued.
    """

    contexts: NDArray[np.float32]
    items: NDArray[np.float32]
    weight: Vector
    at: Vector
    after: Mapping[str, Vector]
    before: Mapping[str, Vector]

    def __len__(self) -> int:
        return int(self.at.size)


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
        precision += (x * (weight * count)[some, None]).T @ x
        moments += x.T @ change[some]
    if not (np.isfinite(precision).all() and np.isfinite(moments).all() and np.isfinite(energies).all()):
        raise InvalidInput("an example holds a number that is not finite")
    outcomes = {name: Outcome(moments[:, i].copy(), float(energies[i])) for i, name in enumerate(OUTCOMES)}
    total = float(weight @ count)
    return Statistics(precision, outcomes, total, int(count.sum()), as_of, half_life_s)
