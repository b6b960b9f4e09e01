"""The gateway as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from fastapi import FastAPI

from gateway import admin
from gateway.document import describe
from gateway.fallback import Fallback
from gateway.following import Follower, Loaders
from gateway.recommenders import Fleet, Recommender
from gateway.route import RecommendationsRoute
from gateway.routing import Surfaces, SurfacesLoader
from gateway.service import Gateway
from gateway.shelf import Shelf, ShelfLoader
from omakase import __version__
from omakase.config.schema import Product
from omakase.core.ids import Keyring
from omakase.ports.catalogue_store import CatalogueStore
from omakase.ports.clock import Clock
from omakase.ports.delivery_log import DeliveryLog
from omakase.ports.model_store import ModelStore
from omakase.serving.access import Gate
from omakase.serving.configuration import Configuration
from omakase.serving.http import install
from omakase.serving.refresher import Refresher
from omakase.serving.shipper import Shipper

# How long a start waits for the first catalogue before it listens without; connections wait meanwhile.
_FIRST_CATALOGUE_S = 2.0

_DESCRIPTION = """
Ask what to show a person at a placement, show it, and send what they did with each item's `delivery_id` to tracking.

The gateway always answers. When a recommender does not, the slate is a fallback (`"fallback": true`): popular items,
else catalogue order. Errors are `application/problem+json`; the message says what to change.
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a gateway is made of. At most `max_requests` are worked on at once; `drain_s` bounds the shipping of what is
    spooled when it stops."""

    configuration: Configuration
    keyring: Keyring
    clock: Clock
    catalogue: CatalogueStore
    models: ModelStore
    deliveries: DeliveryLog
    shipper: Shipper
    fleet: Fleet
    storefronts: Gate
    operators: admin.Admin | None = None
    max_body_bytes: int = 1_000_000
    max_requests: int = 64
    poll_s: float = 0.5
    grace_s: float = 30.0
    drain_s: float = 10.0
    slow_s: float = 0.5

    def loaders(self, displayed: Product, routed: Product, recommenders: Mapping[str, Recommender]) -> Loaders:
        """What makes a configuration's shelf and surfaces."""
        placements = displayed.placements
        layouts = {name: one.layout() for name, one in placements.items() if one.caps or one.pinned}
        return Loaders(
            ShelfLoader(list(placements), self.catalogue, self.models, layouts),
            SurfacesLoader(routed, recommenders, self.keyring, self.models, self.clock),
        )


class _State:
    """What outlives a request: the shelf and the surfaces of the configuration, and whether the process serves."""

    def __init__(self, parts: Parts) -> None:
        product = parts.configuration.newest.product
        first = parts.loaders(product, product, parts.fleet.named_by(product))
        self.shelves: Refresher[Shelf] = Refresher(first.shelf, parts.poll_s, "catalogue")
        self.surfaces: Refresher[Surfaces] = Refresher(first.surfaces, parts.poll_s, "allocations")
        self.follower = Follower(
            parts.configuration,
            parts.fleet,
            parts.loaders,
            self.shelves,
            self.surfaces,
            poll_s=parts.poll_s,
            grace_s=parts.grace_s,
        )
        self.is_draining = False

    def is_ready(self) -> bool:
        """Not dependent on any recommender, for without one the gateway answers too."""
        return self.shelves.current is not None and self.surfaces.current is not None and not self.is_draining


def new_app(parts: Parts) -> RecommendationsRoute:
    """The application; its lifespan starts and stops polling, shipping and the channels to the recommenders."""
    state = _State(parts)
    fallback = Fallback(state.shelves, parts.keyring, parts.clock, parts.deliveries)
    gateway = Gateway(state.surfaces, fallback, parts.keyring, parts.clock, parts.slow_s)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        parts.shipper.start()
        loops = state.shelves.run(), state.surfaces.run(), state.follower.run()
        polling = [asyncio.create_task(loop) for loop in loops]
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_CATALOGUE_S):
                await state.shelves.ready()
                await state.surfaces.ready()
        yield
        state.is_draining = True
        for task in polling:
            task.cancel()
        await parts.fleet.close()
        await asyncio.to_thread(parts.shipper.stop, parts.drain_s)

    app = FastAPI(
        title="Omakase gateway",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # it would load scripts from elsewhere
        redoc_url=None,
    )
    describe(app)
    install(app, parts.max_body_bytes, state.is_ready, admin.STREAMED)
    if parts.operators is not None:
        admin.install(app, parts.operators)
    bounds = {"max_body_bytes": parts.max_body_bytes, "max_requests": parts.max_requests}
    # Outside of the app: its middleware costs more than the route.
    return RecommendationsRoute(app, gateway, parts.storefronts, **bounds)
