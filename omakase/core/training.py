"""From a session's examples to the sums that a model adds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from omakase.core.errors import InvalidInput
from omakase.core.features import cross
from omakase.core.posterior import Matrix, Statistics, Vector
from omakase.core.sessions import Example

OUTCOMES = ("click", "reward")


def summarise(examples: Sequence[Example], half_life_s: float = math.inf) -> Statistics:
    """Sums over one model's examples, corrections and retractions, as of the newest of them.

    Cost: O(n d²), one matrix product for all that are new.
    Raises: InvalidInput if a number is not finite or the examples differ in dimensions; ValueError if there are none.
    """
    if not examples:
        raise ValueError("there is nothing to summarise")
    as_of = max(example.at for example in examples)
    weights = np.array([example.weight * 2.0 ** ((example.at - as_of) / half_life_s) for example in examples])
    crossed = _crossed(examples)
    parts = [
        _change(x, w, one.before, one.outcomes)
        for one, x, w in zip(examples, crossed, weights, strict=True)
        if one.before is not None
    ]
    new = [(i, one.outcomes) for i, one in enumerate(examples) if one.before is None and one.outcomes is not None]
    if new:
        rows = [i for i, _ in new]
        y = {name: np.array([outcomes[name] for _, outcomes in new]) for name in OUTCOMES}
        parts.append(Statistics.of(crossed[rows], y, weights[rows]))
    return replace(reduce(add, parts), as_of=as_of, half_life_s=half_life_s)


def _crossed(examples: Sequence[Example]) -> Matrix:
    try:
        contexts = np.stack([example.delivery.context_factor for example in examples])
        items = np.stack([example.delivery.item_factor for example in examples])
    except ValueError as error:
        raise InvalidInput(f"the examples differ in dimensions: {error}") from error
    return cross(contexts, items)


def _change(x: Vector, weight: float, before: Mapping[str, float], after: Mapping[str, float] | None) -> Statistics:
    if after is None:
        return Statistics.retraction(x, weight, before)
    return Statistics.correction(x, weight, before, after)
