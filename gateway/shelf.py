"""What the gateway shows by itself: the catalogue, and per placement an order that needs no model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gateway import metrics
from gateway.popularity import Order, Popularity
from omakase.core.catalogue import NOTHING, Catalogue, Item, Mask
from omakase.core.choices import PLAIN, Choice, Layout, Rules
from omakase.core.counts import Counts
from omakase.core.filling import fill
from omakase.core.item_ids import ItemIds
from omakase.core.policies import Draws
from omakase.core.values import Facts
from omakase.counts import counts_key, decode_counts
from omakase.ports.catalogue_store import CatalogueStore
from omakase.ports.model_store import ModelStore
from omakase.serving.newest import Newest

log = logging.getLogger(__name__)

_LOOKED_AT = 1024
_NOTHING = Counts()


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

        Raises: InvalidInput, see `Catalogue.eligible`. Cost: O(n) at the speed of memory, no sorting.
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
        self._newest = {name: Newest(models, counts_key(name), decode_counts) for name in placements}
        self._popular: dict[str, Popularity] = {}
        self._has_made = False  # the current shelf may be another loader's

    def __call__(self, current: Shelf | None) -> Shelf:
        changed = [newest.refresh() for newest in self._newest.values()]
        if current is None or self._store.generation() != current.catalogue.generation:
            catalogue = self._store.load(current.catalogue if current else None)
            metrics.CATALOGUE.set(catalogue.generation)
            log.info("catalogue generation %d: %d items", catalogue.generation, len(catalogue))
        elif any(changed) or not self._has_made:
            catalogue = current.catalogue
        else:
            return current
        self._popular = {name: self._popularity(name, catalogue.item_ids) for name in self._newest}
        orders = {name: popularity.order for name, popularity in self._popular.items()}
        self._has_made = True
        return Shelf(catalogue, orders, {name: layout.over(catalogue)[0] for name, layout in self._layouts.items()})

    def _popularity(self, placement: str, item_ids: ItemIds) -> Popularity:
        counts, known = self._newest[placement].value or _NOTHING, self._popular.get(placement)
        return Popularity.of(counts, item_ids) if known is None or known.counts is not counts else known.over(item_ids)


def _first(order: Order, eligible: Mask, k: int, rules: Rules) -> Order:
    if not (rules.caps or rules.pinned):
        found, start, size = order[:0], 0, _LOOKED_AT
        while start < order.size and found.size < k:  # most of what is popular may be shown
            part = order[start : start + size]
            found, start, size = np.concatenate([found, part[eligible[part]]]), start + size, 4 * size
        return found[:k]
    ranks = np.empty(order.size, dtype=np.float32)  # exact for a catalogue of 16 million
    ranks[order] = np.arange(order.size, 0, -1)
    return fill(Draws(ranks[np.newaxis, np.newaxis]), Choice(eligible, k, rules=rules))[0]
