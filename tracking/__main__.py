"""`python -m tracking`: events over HTTP, delivery records over gRPC, until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from fastapi import FastAPI

from omakase.adapters import open_clock, open_delivery_store, open_event_bus
from omakase.config import load_product
from omakase.keys import load_keys
from omakase.serving import process
from omakase.serving.http import serve
from omakase.serving.rpc import Health, new_server
from omakase.settings import TrackingSettings
from omakase.v1 import tracking_pb2_grpc
from tracking.api import create_app
from tracking.events import Reader
from tracking.intake import Intake
from tracking.records import TrackingServicer


async def run(settings: TrackingSettings) -> None:
    product = load_product(Path(settings.config))
    clock = open_clock(settings.clock)
    learning = product.learning
    intake = Intake(
        open_event_bus(settings.bus),
        open_delivery_store(settings.deliveries),
        clock,
        orphan_wait_s=settings.orphan_wait_s,
        keep_s=learning.reward_window_s + learning.allowed_lateness_s,
        sweep_s=settings.sweep_s,
        max_queued=settings.max_queued_events,
    )
    if "--drain" in sys.argv:
        while intake.sweep(give_up=True):
            pass
        return
    health, ready = Health(), asyncio.Event()
    server = new_server(["omakase.v1.Tracking"], health)
    tracking_pb2_grpc.add_TrackingServicer_to_server(TrackingServicer(intake), server)
    server.add_insecure_port(settings.grpc_address)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        intake.start()
        await server.start()
        await health.set(is_serving=True)
        ready.set()
        yield
        ready.clear()
        await health.set(is_serving=False)
        await server.stop(settings.drain_s)
        await asyncio.to_thread(intake.stop)

    reader = Reader(load_keys(Path(settings.keys)), product.known_event_types(), learning.reward_window_s, os.urandom)
    limits = {"max_events": settings.max_events, "max_body_bytes": settings.max_body_bytes}
    await serve(create_app(intake, reader, clock, **limits, is_ready=ready.is_set, lifespan=lifespan), settings)


def main() -> int:
    return process.run("tracking", TrackingSettings, lambda settings: uvloop.run(run(settings)))


if __name__ == "__main__":
    sys.exit(main())
