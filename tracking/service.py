"""Tracking put together: what stores events, what settles orders, and the application in front of both."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from omakase.api_keys import Scope
from omakase.config import Product
from omakase.keys import load_keys
from omakase.ports.clock import Clock
from omakase.ports.context_store import ContextStore
from omakase.ports.delivery_store import DeliveryStore
from omakase.ports.event_bus import EventBus
from omakase.ports.forgotten import Forgotten
from omakase.ports.orders import Credits, Orders
from omakase.ports.touches import Touches
from omakase.serving.access import ApiKeys, Gate
from omakase.serving.configuration import Configuration
from omakase.serving.refusals import Refusals
from omakase.settings import TrackingSettings
from tracking.api import create_app
from tracking.conversions import add_conversions
from tracking.desk import OrderDesk
from tracking.door import Door
from tracking.events import Reader
from tracking.intake import Intake
from tracking.orders import OrderReader
from tracking.recent import RecentClicks
from tracking.traffic import TrafficRules
from tracking.witness import Witness

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stores:
    """What tracking keeps things in."""

    bus: EventBus
    deliveries: DeliveryStore
    touches: Touches
    orders: Orders
    credits: Credits
    contexts: ContextStore
    forgotten: Forgotten
    clock: Clock


@dataclass(frozen=True, slots=True)
class Service:
    """What tracking is made of; the intake, the desk and the recent clicks have a thread each.

    Clicks are noted only where some model's features need them.
    """

    intake: Intake
    desk: OrderDesk
    recent: RecentClicks
    witness: Witness
    traffic: TrafficRules
    door: Door
    reader: Reader
    orders: OrderReader
    stores: Stores

    def start(self) -> None:
        expiry_s = self.stores.deliveries.expiry_s
        if expiry_s < self.intake.keep_s:
            log.warning("delivery records expire after %g s: what comes later is reported and not learnt", expiry_s)
        self.recent.start()
        self.intake.start()
        self.desk.start()

    def stop(self) -> None:
        """Store what was taken, then end."""
        self.intake.stop()
        self.desk.stop()
        self.recent.stop()

    def drain(self) -> None:
        """Publish whatever waits, while the threads do not run. Parked events first: an order may be due to one."""
        while self.intake.sweep(give_up=True):
            pass
        while self.desk.settle(at_once=True):
            pass
        self.recent.flush()

    def follow(self, product: Product) -> None:
        """Go by another configuration from now on. Call it on the event loop, where requests are read."""
        learning, keep_s = product.learning, product.people.retention_s
        self.traffic.follow(product.traffic)
        self.reader.follow(product.known_event_types(), learning.reward_window_s)
        self.orders.follow(product.currency, learning.attribution_window_s)
        self.desk.follow(learning.attribution_window_s, learning.reward_window_s, keep_s)
        self.intake.keep_s = _records_s(product)
        self.recent.keep_s = keep_s
        self.witness.notes_clicks = product.remembers_clicks()


def new_service(settings: TrackingSettings, product: Product, stores: Stores) -> Service:
    """Raises: InvalidConfig for a file of keys that is wrong."""
    learning, keys, keep_s = product.learning, ApiKeys(Path(settings.keys)), product.people.retention_s
    keyring, traffic = load_keys(Path(settings.keys)), TrafficRules(product.traffic)
    recent = RecentClicks(stores.contexts, stores.forgotten, stores.clock, keep_s=keep_s)
    witness = Witness(
        traffic,
        stores.touches,
        takes_orders=lambda: keys.has(Scope.SERVER),
        recent=recent,
        notes_clicks=product.remembers_clicks(),
    )
    intake = Intake(
        stores.bus,
        stores.deliveries,
        stores.clock,
        orphan_wait_s=settings.orphan_wait_s,
        keep_s=_records_s(product),
        sweep_s=settings.sweep_s,
        max_queued=settings.max_queued_events,
        max_queued_bytes=settings.max_queued_bytes,
        store_timeout_s=settings.store_timeout_s,
        see=witness.see,
    )
    desk = OrderDesk(
        stores.orders,
        stores.credits,
        stores.touches,
        stores.deliveries,
        stores.bus,
        stores.clock,
        wait_s=settings.order_wait_s,
        attribution_window_s=learning.attribution_window_s,
        reward_window_s=learning.reward_window_s,
        keep_s=keep_s,
        store_timeout_s=settings.store_timeout_s,
    )
    return Service(
        intake,
        desk,
        recent,
        witness,
        traffic,
        Door(Gate(keys, Scope.SERVER, Refusals()), traffic, settings.address_header, settings.address_proxies),
        Reader(keyring, product.known_event_types(), learning.reward_window_s, os.urandom),
        OrderReader(keyring, product.currency, learning.attribution_window_s, os.urandom),
        stores,
    )


def new_app(
    service: Service,
    settings: TrackingSettings,
    is_ready: Callable[[], bool],
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
) -> FastAPI:
    """The application; its lifespan starts and stops the service."""
    clock = service.stores.clock
    app = create_app(
        service.intake,
        service.reader,
        clock,
        max_events=settings.max_events,
        max_body_bytes=settings.max_body_bytes,
        is_ready=is_ready,
        lifespan=lifespan,
        door=service.door,
    )
    add_conversions(app, service.desk, service.orders, service.door, clock, max_orders=settings.max_events)
    return app


async def follow(configuration: Configuration, service: Service, poll_s: float) -> None:
    """Take every valid configuration, until cancelled."""
    configuration.serve(configuration.newest)
    while True:
        await asyncio.sleep(poll_s)
        newest = await asyncio.to_thread(configuration.look)
        if newest is not configuration.in_force:
            service.follow(newest.product)
            configuration.serve(newest)


def _records_s(product: Product) -> float:
    """How long a delivery record may be asked for."""
    return product.learning.reward_window_s + product.learning.allowed_lateness_s
