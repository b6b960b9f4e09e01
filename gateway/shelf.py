"""What the gateway shows by itself: the catalogue, and per placement an order that needs no model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway import metrics
from omakase.core.catalogue import NOTHING, Catalogue, Item, Mask
from omakase.core.choices import PLAIN, Choice, Layout, Rules
from omakase.core.counts import Counts, CountScorer, Prior
from omakase.core.filling import fill
from omakase.core.policies import Draws
from omakase.core.values import Facts
from omakase.counts import counts_key, decode_counts
from omakase.ports.catalogue_store import CatalogueStore
from omakase.ports.model_store import ModelStore
from omakase.serving.newest import Newest

log = logging.getLogger(__name__)

Order: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Immutable, swapped as a whole. `orders` has the indices of all items per placement, best first.

    `rules` has the caps and pins of placements that have some.
    """

    catalogue: Catalogue
    orders: Mapping[str, Order]
    rules: Mapping[str, Rules] = field(default_factory=dict)

    def best(
        self, placement: str, limit: int, exclude: list[str], candidates: list[str] | None, filters: Facts = NOTHING
    ) -> tuple[list[Item], list[str]]:
        """The first eligible items by the placement's rules, and the candidates that are unknown, sold out or hidden.

        Raises: InvalidInput, see `Catalogue.eligible`. Cost: O(n), no sorting.
        """
        eligible, ignored = self.catalogue.eligible(exclude, candidates, filters)
        top = _first(self.orders[placement], eligible, limit, self.rules.get(placement, PLAIN))
        return [self.catalogue.item(i) for i in top.tolist()], ignored


class ShelfLoader:
    """Called by a Refresher. What is popular is known from the counts of `omakase.counts`.

    Raises: Unavailable or Corrupt when the catalogue cannot be read, Unavailable before the first sight of the models.
    """

    def __init__(
        self,
        placements: list[str],
        catalogue: CatalogueStore,
        models: ModelStore,
        layouts: Mapping[str, Layout] | None = None,
    ) -> None:
        """`layouts` are those of placements that have caps or pins."""
        self._store = catalogue
        self._layouts = layouts or {}
        self._counts = {name: Newest(models, counts_key(name), decode_counts) for name in placements}

    def __call__(self, current: Shelf | None) -> Shelf:
        changed = [newest.refresh() for newest in self._counts.values()]
        if current is None or self._store.generation() != current.catalogue.generation:
            catalogue = self._store.load(current.catalogue if current else None)
            metrics.CATALOGUE.set(catalogue.generation)
            log.info("catalogue generation %d: %d items", catalogue.generation, len(catalogue))
        elif any(changed):
            catalogue = current.catalogue
        else:
            return current
        orders = {name: order_of(catalogue, newest.value or Counts()) for name, newest in self._counts.items()}
        return Shelf(catalogue, orders, {name: layout.over(catalogue)[0] for name, layout in self._layouts.items()})


def order_of(catalogue: Catalogue, counts: Counts) -> Order:
    """As the policy `popularity` ranks: by click rates, of equal ones the first. Shapes: (n,), every item once."""
    return np.argsort(-CountScorer.of(counts, Prior(), catalogue).rates, kind="stable")


def _first(order: Order, eligible: Mask, k: int, rules: Rules) -> Order:
    if not (rules.caps or rules.pinned):
        return order[eligible[order]][:k]
    ranks = np.empty(order.size, dtype=np.float32)  # exact for a catalogue of 16 million
    ranks[order] = np.arange(order.size, 0, -1)
    return fill(Draws(ranks[np.newaxis, np.newaxis]), Choice(eligible, k, rules=rules))[0]
