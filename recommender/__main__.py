"""`python -m recommender`: settings from the environment, gRPC until SIGTERM."""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop
from prometheus_client import start_http_server

from omakase import adapters
from omakase.adapters.uri import Uri
from omakase.keys import load_keys
from omakase.serving import process
from omakase.serving.configuration import Configuration
from omakase.serving.shipper import Shipper
from omakase.serving.signals import stop_signals
from omakase.serving.tls import MutualTls
from omakase.settings import RecommenderSettings
from recommender.server import Parts, RecommenderServer


async def run(settings: RecommenderSettings) -> None:
    stopping, tls = stop_signals(), MutualTls.of(settings)
    refused = Uri.parse(settings.spool).path() / "refused"
    parts = Parts(
        configuration=Configuration.named_by(settings),
        keyring=load_keys(Path(settings.keys)),
        clock=adapters.open_clock(settings.clock),
        catalogue=adapters.open_catalogue_store(settings.catalogue),
        models=adapters.open_model_store(settings.models),
        contexts=adapters.open_context_store(settings.contexts),
        deliveries=adapters.open_delivery_log(settings.spool),
        shipper=Shipper(adapters.open_spool_reader(settings.spool), settings.tracking, refused, tls),
        context_timeout_s=settings.context_timeout_s,
    )
    if settings.metrics_address is not None:
        host, _, port = settings.metrics_address.rpartition(":")
        start_http_server(int(port), host)
    server = RecommenderServer(parts, settings.grpc_address, settings.poll_s, tls)
    await server.start()
    await stopping.wait()
    await server.drain(settings.drain_s)


def main() -> int:
    return process.run("recommender", RecommenderSettings, lambda settings: uvloop.run(run(settings)))


if __name__ == "__main__":
    sys.exit(main())
