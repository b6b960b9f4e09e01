"""`python -m gateway`: settings from the environment, HTTP until SIGTERM."""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from gateway.app import Parts, new_app
from gateway.recommenders import open_recommenders
from omakase.adapters import open_catalogue_store, open_clock, open_delivery_log, open_model_store, open_spool_reader
from omakase.adapters.uri import Uri
from omakase.config import load_product
from omakase.keys import load_keys
from omakase.serving import process
from omakase.serving.http import serve
from omakase.serving.shipper import Shipper
from omakase.settings import GatewaySettings


async def run(settings: GatewaySettings) -> None:
    product = load_product(Path(settings.config))
    refused = Uri.parse(settings.spool).path() / "refused"
    parts = Parts(
        product=product,
        keyring=load_keys(Path(settings.keys)),
        clock=open_clock(settings.clock),
        catalogue=open_catalogue_store(settings.catalogue),
        models=open_model_store(settings.models),
        deliveries=open_delivery_log(settings.spool),
        shipper=Shipper(open_spool_reader(settings.spool), settings.tracking, refused),
        recommenders=open_recommenders(product, settings.recommenders),
        max_body_bytes=settings.max_body_bytes,
        drain_s=settings.drain_s,
    )
    await serve(new_app(parts), settings)


def main() -> int:
    return process.run("gateway", GatewaySettings, lambda settings: uvloop.run(run(settings)))


if __name__ == "__main__":
    sys.exit(main())
