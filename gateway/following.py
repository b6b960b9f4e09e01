"""From one configuration to the next, without a request that finds neither."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from gateway.recommenders import Fleet, Recommender
from gateway.routing import Surfaces, SurfacesLoader
from gateway.shelf import Shelf, ShelfLoader
from omakase.config import Product
from omakase.config.succession import with_names_of
from omakase.serving.configuration import Configuration, Revision
from omakase.serving.refresher import Refresher

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaders:
    """What makes the shelf and the surfaces of one configuration."""

    shelf: ShelfLoader
    surfaces: SurfacesLoader

    def load(self, current: Shelf | None) -> tuple[Shelf, Surfaces]:
        """All that can fail, before anything is swapped. Blocks."""
        return self.shelf(current), self.surfaces(None)


# From the product to be displayed, the product to be routed by, and its recommenders.
Make: TypeAlias = Callable[[Product, Product, Mapping[str, Recommender]], Loaders]


class Follower:
    """Follows the configuration: shelf and surfaces are swapped together, when the recommenders know what is new.

    A recommender says so itself, if some variant with a share names it: one that is turned off may be as broken as it
    likes. Who has not said it after `grace_s` is not waited for: it may be away, and then its requests are answered by
    fallback slates under the old configuration as well. Requests in flight end on the surfaces that they began with;
    for their fallback slates the shelf has the placements of both.
    """

    def __init__(
        self,
        configuration: Configuration,
        fleet: Fleet,
        make: Make,
        shelves: Refresher[Shelf],
        surfaces: Refresher[Surfaces],
        *,
        poll_s: float,
        grace_s: float,
    ) -> None:
        self._configuration = configuration
        self._fleet = fleet
        self._make = make
        self._shelves = shelves
        self._surfaces = surfaces
        self._poll_s = poll_s
        self._grace_s = grace_s
        self._awaited = configuration.newest
        self._patient_until = 0.0

    async def run(self) -> None:
        """Follow until cancelled."""
        self._configuration.serve(self._configuration.newest)
        while True:
            await asyncio.sleep(self._poll_s)
            newest = await asyncio.to_thread(self._configuration.look)
            if newest is not self._configuration.in_force:
                try:
                    await self._follow(newest)
                except Exception as error:  # whatever a configuration meets, the one in force goes on
                    self._configuration.postpone(error)

    async def _follow(self, newest: Revision) -> None:
        recommenders = self._fleet.named_by(newest.product)
        if not await self._is_due(newest, recommenders):
            return
        displayed = with_names_of(newest.product, self._configuration.in_force.product)
        loaders = self._make(displayed, newest.product, recommenders)
        shelf, surfaces = await asyncio.to_thread(loaders.load, self._shelves.current)
        self._shelves.follow(loaders.shelf, shelf)  # nothing is awaited between the two
        self._surfaces.follow(loaders.surfaces, surfaces)
        self._configuration.serve(newest)
        self._fleet.retire(newest.product)

    async def _is_due(self, newest: Revision, recommenders: Mapping[str, Recommender]) -> bool:
        now = asyncio.get_running_loop().time()
        if self._awaited is not newest:
            self._awaited, self._patient_until = newest, now + self._grace_s
        asked = sorted(_asked(newest.product))
        knowing = await asyncio.gather(*(recommenders[name].knows(newest.digest) for name in asked))
        waiting = [name for name, knows in zip(asked, knowing, strict=True) if not knows]
        if waiting and now >= self._patient_until:
            told = ", ".join(waiting)
            log.warning("configuration %s is followed before recommender %s knows it", newest.digest, told)
        return not waiting or now >= self._patient_until


def _asked(product: Product) -> set[str]:
    """The recommenders that somebody may be sent to."""
    arms = (arm for placement in product.placements for arm in product.arms_at(placement).values())
    return {arm.recommender for arm in arms if arm.share}
