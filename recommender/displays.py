"""How the placements' slates are made, bound to one catalogue."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omakase.config.placements import ESTIMATED, Placement
from omakase.config.schema import Product
from omakase.core.catalogue import UNCOUNTED, Catalogue
from omakase.core.choices import PLAIN, Rules
from omakase.core.examination import CERTAIN, Examination
from omakase.examination import decode_examination, examination_key
from omakase.ports.model_store import ModelStore
from omakase.serving.newest import Newest
from recommender import metrics

log = logging.getLogger(__name__)

_UNLIMITED = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Display:
    """A placement over one catalogue.

    Shapes: values (n,), which scores are multiplied by, 0 where an item has none; limits (n,), how often each item may
    be delivered in `limit_window_s`; `complaints` say what is configured and has no effect. Units: seconds.
    """

    placement: str
    catalogue: Catalogue
    rules: Rules = PLAIN
    examination: Examination = CERTAIN
    values: NDArray[np.float32] | None = None
    limits: NDArray[np.int64] | None = None
    limit_window_s: float = 0.0
    slate_ttl_s: float | None = None
    complaints: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, placement: Placement, catalogue: Catalogue, examination: Examination = CERTAIN) -> Display:
        """`examination` is what was estimated; what is configured goes before it. Cost: O(n) for what is configured."""
        rules, faults = placement.layout().over(catalogue)
        metrics.DISPLAY_FAULTS.labels(name).set(len(faults))
        is_revenue, exposure = placement.objective == "revenue", placement.exposure
        return cls(
            name,
            catalogue,
            rules,
            placement.examination if isinstance(placement.examination, Examination) else examination,
            _values(catalogue) if is_revenue else None,
            None if exposure is None else _limits(catalogue, exposure.per_stock),
            0.0 if exposure is None else exposure.window_s,
            placement.slate_ttl_s,
            (*faults, *(_valueless(name, catalogue) if is_revenue else ())),
        )


class PlacementDisplay:
    """One placement's display: made anew where the catalogue, or the examination that was estimated, has changed."""

    def __init__(self, name: str, placement: Placement, store: ModelStore) -> None:
        self._name = name
        self._placement = placement
        self._newest = (
            Newest(store, examination_key(name), decode_examination) if placement.examination == ESTIMATED else None
        )
        self._served: Display | None = None
        self._complaints: tuple[str, ...] = ()

    def refresh(self) -> bool:
        """Look once. Returns whether the estimate changed. Raises: Unavailable before the first answer of the store."""
        if self._newest is None:
            return False
        is_changed = self._newest.refresh()
        metrics.GENERATION.labels(examination_key(self._name)).set(self._newest.generation)
        metrics.REFUSALS.labels(examination_key(self._name)).set(self._newest.refusals)
        if is_changed:
            self._served = None
        return is_changed

    def served(self, catalogue: Catalogue) -> Display:
        """Until something was estimated, all positions are taken for alike."""
        if self._served is None or self._served.catalogue is not catalogue:
            examination = (self._newest.value if self._newest else None) or CERTAIN
            self._served = Display.of(self._name, self._placement, catalogue, examination)
            for complaint in self._served.complaints:
                if complaint not in self._complaints:
                    log.warning("placement %s: %s", self._name, complaint)
            self._complaints = self._served.complaints
        return self._served


def displays_of(product: Product, store: ModelStore) -> dict[str, PlacementDisplay]:
    return {name: PlacementDisplay(name, placement, store) for name, placement in product.placements.items()}


def _values(catalogue: Catalogue) -> NDArray[np.float32]:
    return np.nan_to_num(catalogue.values, nan=0.0).astype(np.float32)


def _valueless(name: str, catalogue: Catalogue) -> list[str]:
    missing = int(np.isnan(catalogue.values).sum())
    metrics.VALUELESS.labels(name).set(missing)
    return [f"it ranks by revenue, and {missing} items have no value: they count as 0"] if missing else []


def _limits(catalogue: Catalogue, per_stock: int) -> NDArray[np.int64]:
    return np.where(catalogue.stock == UNCOUNTED, _UNLIMITED, catalogue.stock.astype(np.int64) * per_stock)
