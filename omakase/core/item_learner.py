"""How a per-item model learns: as a linear one, and apart by item as well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from omakase.core.beliefs import Belief
from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.item_beliefs import ItemBelief
from omakase.core.item_statistics import ItemStatistics
from omakase.core.posterior import Statistics
from omakase.core.refolding import ExampleColumns, refold
from omakase.core.sessions import Example
from omakase.core.training import OUTCOMES


@dataclass(frozen=True, slots=True)
class PerItemLearner:
    """Each item has weights of its own over the context; see `omakase.core.item_beliefs`.

    Units: half_life_s in seconds; noise and item_prior_precision, where given, go before what is estimated.
    """

    context_width: int
    item_width: int
    prior_precision: float = 1.0
    half_life_s: float = math.inf
    noise: float | None = None
    item_prior_precision: float | None = None

    def empty(self) -> Statistics:
        """See Learner."""
        return Statistics.empty(self.item_width * (1 + self.context_width))

    def summarise(self, examples: Sequence[Example]) -> Statistics:
        """See Learner."""
        return self.refold(ExampleColumns.of(examples))

    def refold(self, examples: ExampleColumns) -> Statistics:
        """See Learner. Raises: also InvalidInput where the columns do not say of which items they are."""
        sums = refold(examples, self.half_life_s)
        return replace(sums, items=sums_by_item(examples, sums.as_of, self.half_life_s))

    def absorb(self, state: Statistics, batch: Statistics) -> Statistics:
        """See Learner. Guarantees: the order of batches is nothing to it; items are forgotten when nothing is left."""
        grown = state + replace(batch, rows=None)
        return replace(grown, items=grown.items.remembered(grown.as_of, grown.half_life_s))

    def believe(self, state: Statistics, before: Belief | None = None) -> ItemBelief:
        """See Learner. What is as it was `before` is not factored again."""
        state.check()
        if state.items.item_ids and state.items.width != 1 + self.context_width:
            raise Corrupt(f"items' sums of {state.items.width} dimensions, where {1 + self.context_width} belong")
        known = before if isinstance(before, ItemBelief) else None
        return ItemBelief.of(state, self.prior_precision, self.item_prior_precision, self.noise, known)


def sums_by_item(examples: ExampleColumns, as_of: float, half_life_s: float = math.inf) -> ItemStatistics:
    """What a mini-batch adds, apart by item.

    Raises: InvalidInput where a number is not finite or the columns do not say of which items they are.
    """
    if len(examples.item_ids) != len(examples):
        raise InvalidInput("a per-item model learns from examples that name their items")
    weight = examples.weight * 2.0 ** ((examples.at - as_of) / half_life_s)
    count = np.isnan(examples.before["click"]) * 1.0 - np.isnan(examples.after["click"])
    z = np.column_stack([np.ones(len(examples)), examples.contexts]) * examples.items[:, :1].astype(np.float64)
    changes = {}
    for name in OUTCOMES:
        after, before = np.nan_to_num(examples.after[name]), np.nan_to_num(examples.before[name])
        changes[name] = weight * (after - before), weight * (after**2 - before**2)
    return ItemStatistics.of(examples.item_ids, z, weight * count, changes, examples.at)
