"""`python -m tracking`: events over HTTP, delivery records over gRPC, until SIGTERM."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from fastapi import FastAPI

from omakase import adapters
from omakase.serving import process
from omakase.serving.configuration import Configuration
from omakase.serving.http import serve
from omakase.serving.rpc import Health, bind, new_server
from omakase.serving.tls import MutualTls
from omakase.settings import TrackingSettings
from omakase.v1 import tracking_pb2_grpc
from tracking.records import TrackingServicer
from tracking.service import Stores, follow, new_app, new_service

# Shippers are connected for so long, then look for replicas anew.
_CONNECTION_S = 120.0


async def run(settings: TrackingSettings) -> None:
    configuration = Configuration.named_by(settings)
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
    service = new_service(settings, configuration.newest.product, stores)
    if "--drain" in sys.argv:
        service.drain()
        return
    health, ready = Health(), asyncio.Event()
    server = new_server(["omakase.v1.Tracking"], health, connection_s=_CONNECTION_S)
    servicer = TrackingServicer(service.intake, stores.forgotten, stores.clock)
    tracking_pb2_grpc.add_TrackingServicer_to_server(servicer, server)
    bind(server, settings.grpc_address, MutualTls.of(settings))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        await server.start()
        await health.set(is_serving=True)
        following = asyncio.create_task(follow(configuration, service, settings.config_poll_s))
        ready.set()
        yield
        ready.clear()
        following.cancel()
        await health.set(is_serving=False)
        await server.stop(settings.drain_s)
        await asyncio.to_thread(service.stop)

    await serve(new_app(service, settings, ready.is_set, lifespan), settings)


def main() -> int:
    return process.run("tracking", TrackingSettings, lambda settings: uvloop.run(run(settings)))


if __name__ == "__main__":
    sys.exit(main())
