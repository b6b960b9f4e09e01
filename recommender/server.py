"""A recommender from its first poll to its last shipped record."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import numpy as np

from omakase.core.ids import Keyring
from omakase.ports.catalogue_store import CatalogueStore
from omakase.ports.clock import Clock
from omakase.ports.context_store import ContextStore
from omakase.ports.delivery_log import DeliveryLog
from omakase.ports.model_store import ModelStore
from omakase.serving.configuration import Configuration
from omakase.serving.refresher import Refresher
from omakase.serving.rpc import Health, bind, new_server
from omakase.serving.shipper import Shipper
from omakase.serving.tls import MutualTls
from omakase.v1 import recommender_pb2_grpc
from recommender.bundle import Bundle
from recommender.following import FollowingLoader
from recommender.people import People
from recommender.propensities import PropensityCounter, counting_of
from recommender.ranking import Ranker
from recommender.service import NAME, RecommenderService

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a recommender is made of. `rng` is one stream for the process, seeded by the system. Units: seconds."""

    configuration: Configuration
    keyring: Keyring
    clock: Clock
    catalogue: CatalogueStore
    models: ModelStore
    contexts: ContextStore
    deliveries: DeliveryLog
    shipper: Shipper
    context_timeout_s: float = 0.05
    rng: np.random.Generator = field(default_factory=np.random.default_rng)


class RecommenderServer:
    """Listens from `start`, serves from the first bundle on, and stops without losing a record in `drain`."""

    def __init__(self, parts: Parts, address: str, poll_s: float, tls: MutualTls | None = None) -> None:
        self._loader = FollowingLoader(parts.configuration, parts.catalogue, parts.models)
        self._bundles: Refresher[Bundle] = Refresher(self._loader, poll_s, "bundle")
        self._poll_s = poll_s
        ranker = Ranker(parts.keyring, parts.clock, parts.rng)
        self._people = People(parts.contexts, parts.context_timeout_s)
        (fresh,) = parts.rng.spawn(1)
        counting = counting_of(parts.configuration.newest.product)
        self._propensities = PropensityCounter(counting, parts.deliveries, fresh)
        self._shipper = parts.shipper
        self._health = Health()
        self._server = new_server([NAME], self._health)
        self._service = RecommenderService(self._bundles, self._people, ranker, parts.deliveries, self._propensities)
        recommender_pb2_grpc.add_RecommenderServicer_to_server(self._service, self._server)
        self._address = address
        self.port = bind(self._server, address, tls)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listen at once; health says NOT_SERVING until the first bundle is there."""
        await self._health.set(is_serving=False)
        await self._server.start()
        self._propensities.start()
        self._shipper.start()
        self._tasks = [asyncio.create_task(self._bundles.run()), asyncio.create_task(self._announce())]

    async def ready(self) -> None:
        """Return once slates can be ranked."""
        await self._bundles.ready()

    async def drain(self, within_s: float) -> None:
        """Not serving, then finish what is in flight, count what waits, ship what is spooled.

        The first has half of the time, the others have a quarter each. What could not be counted stays unknown; what
        could not be shipped stays in the spool for the next start.
        """
        for task in self._tasks:
            task.cancel()
        await self._health.set(is_serving=False)
        self._service.drain()
        await self._server.stop(within_s / 2)
        await asyncio.to_thread(self._propensities.stop, within_s / 4)
        await asyncio.to_thread(self._shipper.stop, within_s / 4)

    async def _announce(self) -> None:
        await asyncio.gather(self._bundles.ready(), self._people.connect())
        await self._health.set(is_serving=True)
        log.info("serving at %s", self._address)
        told = None
        while True:
            served = self._loader.served
            if served is not None and served is not told:
                self._propensities.follow(counting_of(served.product))
                await self._health.know(served.digest)
                told = served
            await asyncio.sleep(self._poll_s)
