"""`python -m tracking`: events over HTTP, delivery records over gRPC, until SIGTERM."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from fastapi import FastAPI

from omakase import adapters
from omakase.config import load_product
from omakase.serving import process
from omakase.serving.http import serve
from omakase.serving.rpc import Health, new_server
from omakase.settings import TrackingSettings
from omakase.v1 import tracking_pb2_grpc
from tracking.records import TrackingServicer
from tracking.service import Stores, new_app, new_service


async def run(settings: TrackingSettings) -> None:
    product = load_product(Path(settings.config))
    stores = Stores(
        adapters.open_event_bus(settings.bus),
        adapters.open_delivery_store(settings.deliveries),
        adapters.open_touches(settings.deliveries),
        adapters.open_orders(settings.deliveries),
        adapters.open_credits(settings.deliveries),
        adapters.open_context_store(settings.contexts),
        adapters.open_forgotten(settings.deliveries),
        adapters.open_clock(settings.clock),
    )
    service = new_service(settings, product, stores)
    if "--drain" in sys.argv:
        service.drain()
        return
    health, ready = Health(), asyncio.Event()
    server = new_server(["omakase.v1.Tracking"], health)
    servicer = TrackingServicer(service.intake, stores.forgotten, stores.clock)
    tracking_pb2_grpc.add_TrackingServicer_to_server(servicer, server)
    server.add_insecure_port(settings.grpc_address)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        await server.start()
        await health.set(is_serving=True)
        ready.set()
        yield
        ready.clear()
        await health.set(is_serving=False)
        await server.stop(settings.drain_s)
        await asyncio.to_thread(service.stop)

    await serve(new_app(service, settings, product, ready.is_set, lifespan), settings)


def main() -> int:
    return process.run("tracking", TrackingSettings, lambda settings: uvloop.run(run(settings)))


if __name__ == "__main__":
    sys.exit(main())
