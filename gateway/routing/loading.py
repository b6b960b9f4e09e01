"""The surfaces that are served, made anew when somebody settles other allocations."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.recommenders import Recommender
from gateway.routing.surfaces import Surfaces
from omakase.allocations import Allocations, Ledger
from omakase.config import Product
from omakase.core.ids import Keyring
from omakase.ports.clock import Clock
from omakase.ports.model_store import ModelStore


class SurfacesLoader:
    """Called by a Refresher. Settles a configuration's shares the first time, then follows the ledger.

    One for each configuration that is loaded: its first call does all that can fail, so that another configuration is
    tried by it before it is swapped in.

    Raises: Unavailable or Corrupt when the ledger cannot be settled.
    """

    def __init__(
        self,
        product: Product,
        recommenders: Mapping[str, Recommender],
        keyring: Keyring,
        models: ModelStore,
        clock: Clock,
    ) -> None:
        self._product = product
        self._recommenders = recommenders
        self._keyring = keyring
        self._ledger = Ledger(models, product, clock.now)
        self._own: Allocations | None = None

    def __call__(self, current: Surfaces | None) -> Surfaces:
        if current is None or self._own is None:
            self._own = self._ledger.settle()
            return Surfaces(self._product, self._recommenders, self._own, self._keyring)
        newest = self._ledger.follow()
        if newest is None:
            return current
        return Surfaces(self._product, self._recommenders, self._own, self._keyring, newest)
