"""From one configuration to the next, without a moment in which nothing is served."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from omakase.config import Product
from omakase.config.succession import with_names_of
from omakase.ports.catalogue_store import CatalogueStore
from omakase.ports.model_store import ModelStore
from omakase.serving.configuration import Configuration, Revision
from recommender.bundle import Bundle
from recommender.loading import BundleLoader

# So long after a change the names of the one before are still asked for: a gateway waits no longer to follow.
_LINGER_S = 60.0


@dataclass(slots=True, eq=False)
class _Step:
    """A configuration; the product with the names before it; what loads its bundles; and the last one of those."""

    revision: Revision
    product: Product
    loader: BundleLoader
    since: float
    bundle: Bundle | None = None


class FollowingLoader:
    """Called by a Refresher, as a `BundleLoader` is, and follows the configuration besides.

    A new configuration is in force with the first bundle made of it, which also serves the names that only the one
    before had. Until then, whatever keeps it from being loaded, bundles are made of the old one.
    """

    def __init__(
        self,
        configuration: Configuration,
        catalogue: CatalogueStore,
        models: ModelStore,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises: InvalidConfig if priors cannot be read."""
        self._configuration = configuration
        self._catalogue = catalogue
        self._models = models
        self._monotonic = monotonic
        first = configuration.newest
        self._now = _Step(first, first.product, BundleLoader(first.product, catalogue, models), 0.0)
        self._next: _Step | None = None
        self.served: Revision | None = None

    def __call__(self, current: Bundle | None) -> Bundle:
        """`served` says of which configuration `current` is: what a request finds, not what is under way to it."""
        if current is not None and current is self._now.bundle and self.served is not self._now.revision:
            self.served = self._now.revision
            self._configuration.serve(self.served)
        newest = self._configuration.look()
        if newest is not self._now.revision:
            try:
                return self._advance(newest, current)
            except Exception as error:  # even a bug that it meets must not keep the one in force from being refreshed
                self._configuration.postpone(error)
                self._now.loader.is_due = True  # the models they share may have moved on
        self._now.bundle = self._now.loader(current)
        return self._now.bundle

    def _advance(self, newest: Revision, current: Bundle | None) -> Bundle:
        if self._next is None or self._next.revision is not newest:
            before, now = self._now, self._monotonic()
            is_fresh = now < before.since + _LINGER_S
            both = with_names_of(newest.product, before.product if is_fresh else before.revision.product)
            loader = BundleLoader(both, self._catalogue, self._models, before.loader)
            self._next = _Step(newest, both, loader, now)
        bundle = self._next.bundle = self._next.loader(current)
        self._now, self._next = self._next, None
        return bundle
