"""What the gateway shows by itself: the catalogue, and per placement an order that needs no model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway import metrics
from omakase.core.catalogue import Catalogue, Item
from omakase.popularity import decode_popularity, popularity_key
from omakase.ports.catalogue_store import CatalogueStore
from omakase.ports.model_store import ModelStore
from omakase.serving.newest import Newest

log = logging.getLogger(__name__)

Order: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Immutable, swapped as a whole. `orders` has the indices of all items per placement, best first."""

    catalogue: Catalogue
    orders: Mapping[str, Order]

    def best(
        self, placement: str, limit: int, exclude: list[str], candidates: list[str] | None
    ) -> tuple[list[Item], list[str]]:
        """The first eligible items, and the candidates that are unknown, sold out or hidden. Cost: O(n), no sorting."""
        eligible, ignored = self.catalogue.eligible(exclude, candidates)
        order = self.orders[placement]
        top = order[eligible[order]][:limit]
        return [self.catalogue.items[i] for i in top.tolist()], ignored


class ShelfLoader:
    """Called by a Refresher. Popularity lists are those of `omakase.popularity`.

    Raises: Unavailable or Corrupt when the catalogue cannot be read, Unavailable before the first sight of the models.
    """

    def __init__(self, placements: list[str], catalogue: CatalogueStore, models: ModelStore) -> None:
        self._store = catalogue
        self._popular = {name: Newest(models, popularity_key(name), decode_popularity) for name in placements}

    def __call__(self, current: Shelf | None) -> Shelf:
        changed = [newest.refresh() for newest in self._popular.values()]
        if current is None or self._store.generation() != current.catalogue.generation:
            catalogue = self._store.load()
            metrics.CATALOGUE.set(catalogue.generation)
            log.info("catalogue generation %d: %d items", catalogue.generation, len(catalogue.items))
        elif any(changed):
            catalogue = current.catalogue
        else:
            return current
        return Shelf(
            catalogue, {name: order_of(catalogue, newest.value or ()) for name, newest in self._popular.items()}
        )


def order_of(catalogue: Catalogue, popular: tuple[str, ...]) -> Order:
    """Popular items first, the others behind them in catalogue order. Shapes: (n,), every item once."""
    first = [catalogue.index[item_id] for item_id in dict.fromkeys(popular) if item_id in catalogue.index]
    is_first = np.zeros(len(catalogue.items), dtype=np.bool_)
    is_first[first] = True
    return np.concatenate([np.asarray(first, dtype=np.intp), np.flatnonzero(~is_first)])
