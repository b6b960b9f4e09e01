"""`python -m recommender`: settings from the environment, gRPC until SIGTERM."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import uvloop

from omakase import adapters, logs
from omakase.adapters.uri import Uri
from omakase.config import load_product
from omakase.core.errors import OmakaseError
from omakase.keys import load_keys
from omakase.serving.lifeline import hold
from omakase.serving.shipper import Shipper
from omakase.serving.signals import stop_signals
from omakase.settings import RecommenderSettings
from recommender.server import Parts, RecommenderServer


async def run(settings: RecommenderSettings) -> None:
    stopping = stop_signals()
    refused = Uri.parse(settings.spool).path() / "refused"
    parts = Parts(
        product=load_product(Path(settings.config)),
        keyring=load_keys(Path(settings.keys)),
        clock=adapters.open_clock(settings.clock),
        catalogue=adapters.open_catalogue_store(settings.catalogue),
        models=adapters.open_model_store(settings.models),
        contexts=adapters.open_context_store(settings.contexts),
        deliveries=adapters.open_delivery_log(settings.spool),
        shipper=Shipper(adapters.open_spool_reader(settings.spool), settings.tracking, refused),
    )
    server = RecommenderServer(parts, settings.grpc_address, settings.poll_s)
    await server.start()
    await stopping.wait()
    await server.drain(settings.drain_s)


def main() -> int:
    try:
        settings = RecommenderSettings.from_environ(os.environ)
        logs.set_up(f"recommender-{settings.name}", settings.log_level)
        hold(settings.lifeline_fd)
        uvloop.run(run(settings))
    except OmakaseError as error:
        print(f"recommender: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
