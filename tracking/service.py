"""Tracking put together: what stores events, what settles orders, and the application in front of both."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from omakase.config import Product
from omakase.keys import load_keys
from omakase.ports.clock import Clock
from omakase.ports.context_store import ContextStore
from omakase.ports.delivery_store import DeliveryStore
from omakase.ports.event_bus import EventBus
from omakase.ports.forgotten import Forgotten
from omakase.ports.orders import Credits, Orders
from omakase.ports.touches import Touches
from omakase.server_keys import ServerKeys
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
    recent: RecentClicks | None
    door: Door
    stores: Stores

    def start(self) -> None:
        if self.recent is not None:
            self.recent.start()
        self.intake.start()
        self.desk.start()

    def stop(self) -> None:
        """Store what was taken, then end."""
        self.intake.stop()
        self.desk.stop()
        if self.recent is not None:
            self.recent.stop()

    def drain(self) -> None:
        """Publish whatever waits, while the threads do not run. Parked events first: an order may be due to one."""
        while self.intake.sweep(give_up=True):
            pass
        while self.desk.settle(at_once=True):
            pass
        if self.recent is not None:
            self.recent.flush()


def new_service(settings: TrackingSettings, product: Product, stores: Stores) -> Service:
    """Raises: InvalidConfig for a file of keys that is wrong."""
    learning, keys, traffic = product.learning, ServerKeys(Path(settings.keys)), TrafficRules(product.traffic)
    recent = None
    if product.remembers_clicks():
        keep_s = product.people.retention_s
        recent = RecentClicks(stores.contexts, stores.forgotten, stores.clock, keep_s=keep_s)
    intake = Intake(
        stores.bus,
        stores.deliveries,
        stores.clock,
        orphan_wait_s=settings.orphan_wait_s,
        keep_s=learning.reward_window_s + learning.allowed_lateness_s,
        sweep_s=settings.sweep_s,
        max_queued=settings.max_queued_events,
        max_queued_bytes=settings.max_queued_bytes,
        store_timeout_s=settings.store_timeout_s,
        see=Witness(traffic, stores.touches, takes_orders=lambda: not keys.is_empty(), recent=recent).see,
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
        keep_s=product.people.retention_s,
        store_timeout_s=settings.store_timeout_s,
    )
    return Service(intake, desk, recent, Door(keys, traffic, settings.address_header), stores)


def new_app(
    service: Service,
    settings: TrackingSettings,
    product: Product,
    is_ready: Callable[[], bool],
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
) -> FastAPI:
    """The application; its lifespan starts and stops the service."""
    keyring, learning, clock = load_keys(Path(settings.keys)), product.learning, service.stores.clock
    app = create_app(
        service.intake,
        Reader(keyring, product.known_event_types(), learning.reward_window_s, os.urandom),
        clock,
        max_events=settings.max_events,
        max_body_bytes=settings.max_body_bytes,
        is_ready=is_ready,
        lifespan=lifespan,
        door=service.door,
    )
    orders = OrderReader(keyring, product.currency, learning.attribution_window_s, os.urandom)
    add_conversions(app, service.desk, orders, service.door, clock, max_orders=settings.max_events)
    return app
