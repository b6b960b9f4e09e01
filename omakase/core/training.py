"""From a session's examples to the sums that a model adds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np

from omakase.core.features import cross
from omakase.core.posterior import Statistics
from omakase.core.sessions import Example

OUTCOMES = ("click", "reward")


def summarise(examples: Sequence[Example]) -> Statistics:
    """Sums over examples and corrections of one model. Cost: O(n d²), one matrix product for all that are new.

    Raises: InvalidInput if a number is not finite or the examples differ in dimensions; ValueError if there are none.
    """
    if not examples:
        raise ValueError("there is nothing to summarise")
    crossed = [cross(example.delivery.context_factor, example.delivery.item_factor) for example in examples]
    parts = [
        Statistics.correction(x, example.weight, example.before, example.outcomes)
        for x, example in zip(crossed, examples, strict=True)
        if example.before is not None
    ]
    new = [(x, example) for x, example in zip(crossed, examples, strict=True) if example.before is None]
    if new:
        x = np.stack([x for x, _ in new])
        outcomes = {name: np.array([example.outcomes[name] for _, example in new]) for name in OUTCOMES}
        parts.append(Statistics.of(x, outcomes, np.array([example.weight for _, example in new])))
    return reduce(add, parts)
