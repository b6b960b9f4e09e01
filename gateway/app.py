"""The gateway as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gateway.api import RecommendationRequest, RecommendationResponse, parse_request
from gateway.fallback import Fallback
from gateway.metrics import REQUESTS
from gateway.recommenders import Recommender
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
    _add_recommendations(app, gateway)  # first: routes are tried in order
    install(app, parts.max_body_bytes, state.is_ready)
    return app


def _add_recommendations(app: FastAPI, gateway: Gateway) -> None:
    # The body is read here and not by FastAPI: its JSON reader takes NaN, lone surrogates and numbers without end.
    schema = {**inline_schema(RecommendationRequest), "additionalProperties": False}
    described = {"required": True, "content": {"application/json": {"schema": schema}}}

    @app.post(
        "/v1/recommendations",
        tags=["recommendations"],
        summary="What to show this person here",
        response_model=RecommendationResponse,
        openapi_extra={"requestBody": described},
        responses={
            400: _told("The body is not JSON in UTF-8"),
            404: _told("No such placement"),
            413: _told("Too large a body"),
            422: _told("It does not fit"),
            503: _told("Before the first catalogue"),
        },
    )
    async def recommend(request: Request, explain: bool = False) -> Response:
        body = await request.body()
        try:
            parsed = parse_request(body)
        except HTTPException:
            REQUESTS.labels("", "", "", "400", "").inc()
            raise
        except RequestValidationError:
            REQUESTS.labels("", "", "", "422", "").inc()
            raise
        answer = await gateway.recommend(parsed, explain=explain)
        return Response(
            answer.model_dump_json(exclude=None if explain else _UNEXPLAINED), media_type="application/json"
        )


_UNEXPLAINED: dict[str, Any] = {"excluded": True, "items": {"__all__": {"explanation"}}}


def _told(what: str) -> dict[str, object]:
    return {"description": what, "content": {"application/problem+json": {}}}
