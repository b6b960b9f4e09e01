"""`python -m gateway`: settings from the environment, HTTP until SIGTERM."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import uvloop

from gateway.admin import Admin
from gateway.app import Parts, new_app
from gateway.discards import Discards
from gateway.recommenders import Fleet, Recommender, Targets
from omakase.adapters import (
    open_catalogue_store,
    open_clock,
    open_context_store,
    open_delivery_log,
    open_model_store,
    open_spool_reader,
)
from omakase.adapters.uri import Uri
from omakase.api_keys import Scope
from omakase.keys import load_keys
from omakase.premises import Premises
from omakase.serving import process
from omakase.serving.access import ApiKeys, Gate
from omakase.serving.configuration import Configuration
from omakase.serving.http import serve
from omakase.serving.refusals import Refusals
from omakase.serving.shipper import Shipper
from omakase.serving.tls import MutualTls
from omakase.settings import GatewaySettings


async def run(settings: GatewaySettings) -> None:
    configuration = Configuration.named_by(settings)
    targets = Targets.of(settings.recommenders, settings.sockets)
    targets.check(configuration.newest.product)
    tls = MutualTls.of(settings)
    refused = Uri.parse(settings.spool).path() / "refused"
    deliveries = open_delivery_log(settings.spool)
    keys, refusals, keyring = ApiKeys(Path(settings.keys)), Refusals(), load_keys(Path(settings.keys))
    clock = open_clock(settings.clock)
    catalogue, models = open_catalogue_store(settings.catalogue), open_model_store(settings.models)
    operators = Admin(
        gate=Gate(keys, Scope.ADMIN, refusals),
        configuration=configuration,
        keyring=keyring,
        clock=clock,
        catalogue=catalogue,
        models=models,
        check=targets.check,
        contexts=open_context_store(settings.contexts) if settings.contexts else None,
        premises=Premises.of(settings, clock),
        max_line_bytes=settings.max_body_bytes,
    )
    parts = Parts(
        configuration=configuration,
        keyring=keyring,
        clock=clock,
        catalogue=catalogue,
        models=models,
        deliveries=deliveries,
        shipper=Shipper(open_spool_reader(settings.spool), settings.tracking, refused, tls),
        fleet=Fleet(targets, partial(Recommender, tls=tls, on_late=Discards(deliveries).add)),
        storefronts=Gate(keys, Scope.STOREFRONT, refusals, is_open=True),
        operators=operators,
        max_body_bytes=settings.max_body_bytes,
        max_requests=settings.max_requests,
        grace_s=settings.config_grace_s,
        drain_s=settings.drain_s,
        slow_s=settings.slow_s,
    )
    await serve(new_app(parts), settings)


def main() -> int:
    return process.run("gateway", GatewaySettings, lambda settings: uvloop.run(run(settings)))


if __name__ == "__main__":
    sys.exit(main())
