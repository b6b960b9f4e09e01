"""The gateway as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated

import msgspec
from fastapi import FastAPI, Query, Response

from gateway.answers import EXAMPLE, Recommendation
from gateway.api import RecommendationRequest
from gateway.fallback import Fallback
from gateway.recommenders import Recommender
from gateway.route import PATH, RecommendationsRoute
from gateway.service import Gateway
from gateway.shelf import Shelf, ShelfLoader
from gateway.surfaces import Surfaces
from omakase import __version__
from omakase.config.schema import Product
from omakase.core.ids import Keyring
from omakase.ports.catalogue_store import CatalogueStore
from omakase.ports.clock import Clock
from omakase.ports.delivery_log import DeliveryLog
from omakase.ports.model_store import ModelStore
from omakase.serving.http import inline_schema, install
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
    """What a gateway is made of. `drain_s` bounds the shipping of what is spooled when it stops."""

    product: Product
    keyring: Keyring
    clock: Clock
    catalogue: CatalogueStore
    models: ModelStore
    deliveries: DeliveryLog
    shipper: Shipper
    recommenders: Mapping[str, Recommender]
    max_body_bytes: int = 1_000_000
    poll_s: float = 0.5
    drain_s: float = 10.0


class _State:
    """What outlives a request: the refreshed shelf, and whether the process serves."""

    def __init__(self, parts: Parts) -> None:
        placements = parts.product.placements
        layouts = {name: one.layout() for name, one in placements.items() if one.caps or one.pinned}
        loader = ShelfLoader(list(placements), parts.catalogue, parts.models, layouts)
        self.shelves: Refresher[Shelf] = Refresher(loader, parts.poll_s, "catalogue")
        self.is_draining = False

    def is_ready(self) -> bool:
        """Not dependent on any recommender, for without one the gateway answers too."""
        return self.shelves.current is not None and not self.is_draining


def new_app(parts: Parts) -> FastAPI:
    """The application; its lifespan starts and stops polling, shipping and the channels to the recommenders."""
    state = _State(parts)
    fallback = Fallback(state.shelves, parts.keyring, parts.clock, parts.deliveries)
    gateway = Gateway(Surfaces(parts.product, parts.recommenders), fallback, parts.keyring)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for recommender in parts.recommenders.values():
            recommender.connect()
        parts.shipper.start()
        polling = asyncio.create_task(state.shelves.run())
        with suppress(TimeoutError):
            await asyncio.wait_for(state.shelves.ready(), _FIRST_CATALOGUE_S)
        yield
        state.is_draining = True
        polling.cancel()
        for recommender in parts.recommenders.values():
            await recommender.close()
        await asyncio.to_thread(parts.shipper.stop, parts.drain_s)

    app = FastAPI(title="Omakase gateway", version=__version__, description=_DESCRIPTION, lifespan=lifespan)
    _describe_recommendations(app)
    install(app, parts.max_body_bytes, state.is_ready)
    app.add_middleware(RecommendationsRoute, gateway=gateway, max_body_bytes=parts.max_body_bytes)  # the last is first
    return app


def _describe_recommendations(app: FastAPI) -> None:
    """Puts the path into the OpenAPI document. It is answered by `RecommendationsRoute`, before this is asked."""
    body = {**inline_schema(RecommendationRequest.model_json_schema()), "additionalProperties": False}
    answer = inline_schema(msgspec.json.schema(Recommendation))

    @app.post(
        PATH,
        tags=["recommendations"],
        summary="What to show this person here",
        response_class=Response,
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}},
        responses={
            200: {"content": {"application/json": {"schema": answer, "example": EXAMPLE}}},
            400: _told("The body is not JSON in UTF-8"),
            404: _told("No such placement"),
            413: _told("Too large a body"),
            422: _told("It does not fit"),
            503: _told("Before the first catalogue"),
        },
    )
    async def recommend(
        explain: Annotated[bool, Query(description="Say why each item stands where it does.")] = False,
    ) -> Response:
        raise AssertionError("answered before it comes here")


_EXPLAIN = Query(description="Say why each item stands where it does.")


def _told(what: str) -> dict[str, object]:
    return {"description": what, "content": {"application/problem+json": {}}}
