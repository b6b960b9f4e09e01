"""What is popular at a placement, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.core.counts import Counts, CountScorer, Prior
from omakase.core.item_ids import ItemIds

Order: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Popularity:
    """Items as the policy `popularity` ranks them: by click rates, of equal ones the first.

    Shapes: order (n,), places, every item once.
    """

    counts: Counts
    item_ids: ItemIds
    scorer: CountScorer
    order: Order

    @classmethod
    def of(cls, counts: Counts, item_ids: ItemIds) -> Popularity:
        """Cost: a µs for each item counted, and sorting."""
        scorer = CountScorer.of(counts, Prior(), item_ids)
        return cls(counts, item_ids, scorer, np.argsort(-scorer.rates, kind="stable"))

    def over(self, item_ids: ItemIds) -> Popularity:
        """What `of` makes of the same counts and these ids.

        Cost: nothing where the ids are the same, O(n) at the speed of memory where others came behind them.
        """
        if item_ids is self.item_ids:
            return self
        if not item_ids.continues(self.item_ids):
            return Popularity.of(self.counts, item_ids)
        scorer = self.scorer.over(self.counts, Prior(), item_ids)
        known, rates = self.order.size, -scorer.rates
        new = known + np.argsort(rates[known:], kind="stable")
        # Of equal rates the new ones are the last.
        order = np.insert(self.order, np.searchsorted(rates[self.order], rates[new], side="right"), new)
        return Popularity(self.counts, item_ids, scorer, order)
