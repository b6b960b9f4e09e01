"""The desk where orders wait until they are attributed, and the thread that does it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf

import numpy as np

from omakase.core.errors import Corrupt, OmakaseError, Unavailable
from omakase.core.events import CONVERSION, Event, Joined
from omakase.core.ids import RequestId, issued_at, text_of
from omakase.ports.clock import Clock
from omakase.ports.delivery_store import DeliveryStore
from omakase.ports.event_bus import EventBus, Message
from omakase.ports.orders import Credit, Credits, Order, Orders
from omakase.ports.touches import Touches
from omakase.wire import RecordedSlate, bus_body
from tracking.attribution import attribute, unattributed
from tracking.join import event_message

log = logging.getLogger(__name__)

_ROUND = 1_000
_NO_FACTOR = np.empty(0, np.float32)
_TIDY_S = 60.0


class OrderDesk:
    """Keeps orders until every click before them is surely known, then attributes and publishes them.

    An order goes from `orders` to the bus in three steps, each of which may be repeated: its credit is decided and
    stored, the event is published under the order's receipt, the order is released. A line that is told again and the
    return of a line go where the line went.

    Guarantees: an order is published once, and to one delivery, whichever process dies when and however many desks
    share the stores. Units: seconds; `wait_s`
    is how long an order waits, `keep_s` how long its credit is remembered.
    """

    def __init__(
        self,
        orders: Orders,
        credits: Credits,
        touches: Touches,
        deliveries: DeliveryStore,
        bus: EventBus,
        clock: Clock,
        *,
        wait_s: float,
        attribution_window_s: float,
        reward_window_s: float,
        keep_s: float,
        sweep_s: float = 1.0,
        store_timeout_s: float = 10.0,
    ) -> None:
        self._orders = orders
        self._credits = credits
        self._touches = touches
        self._deliveries = deliveries
        self._bus = bus
        self._clock = clock
        self._wait_s = wait_s
        self._attribution_window_s = attribution_window_s
        self._reward_window_s = reward_window_s
        self._keep_s = keep_s
        self._sweep_s = sweep_s
        self._store_timeout_s = store_timeout_s
        # What this process was told before it stopped may still be on its way to it when it starts.
        self._opened_at = clock.now()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orders", daemon=True)

    def follow(self, attribution_window_s: float, reward_window_s: float, keep_s: float) -> None:
        """Attribute and remember by these from now on."""
        self._attribution_window_s = attribution_window_s
        self._reward_window_s = reward_window_s
        self._keep_s = keep_s

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the round that is under way; what waits is stored."""
        self._stopping.set()
        self._thread.join()

    async def accept(self, orders: Sequence[Order]) -> None:
        """Store orders; they are safe when this returns. Raises: Unavailable."""
        try:
            async with asyncio.timeout(self._store_timeout_s):
                await asyncio.to_thread(self._orders.keep, orders)
        except TimeoutError:
            raise Unavailable(f"not stored within {self._store_timeout_s:g} s: send it again") from None

    def settle(self, *, at_once: bool = False) -> int:
        """Attribute and publish the orders that have waited long enough (`at_once`: all). Returns how many.

        Call it on the desk's thread, or while that does not run. Raises: Unavailable; then call it again.
        """
        now = self._clock.now()
        if not at_once and now < self._opened_at + self._wait_s:
            return 0
        due = self._orders.due(inf if at_once else now - self._wait_s, _ROUND)
        if not due:
            return 0
        credits = self._decide(due)
        slates = self._slates({credit.request_id for credit in credits.values() if credit.position})
        self._bus.publish([self._message(order, credits.get(order.line), slates) for order in due])
        self._orders.release([order.receipt_id for order in due])
        return len(due)

    def expire(self) -> int:
        """Forget touches that no order can reach any more, and credits past their time. Returns how many."""
        now = self._clock.now()
        # An order may be told one window late, and reaches one window back.
        touches = self._touches.expire(now - 2 * self._attribution_window_s)
        return touches + self._credits.expire(now - self._keep_s)

    def _run(self) -> None:
        tidy_at = -inf
        while not self._stopping.wait(self._sweep_s):
            try:
                while self.settle() and not self._stopping.is_set():
                    pass
                if self._clock.now() >= tidy_at and not self.expire():
                    tidy_at = self._clock.now() + _TIDY_S
            except OmakaseError as error:
                log.warning("orders wait: %s", error)
            except Exception:  # the thread must outlive it: without it no order would ever be published
                log.exception("settling orders failed")

    def _decide(self, due: Sequence[Order]) -> Mapping[bytes, Credit]:
        """What each line goes to, stored. A return of a line that was never sold has no credit and makes none."""
        known = dict(self._credits.find({order.line for order in due}))
        fresh: dict[bytes, Credit] = {}
        for order in due:
            if order.type == CONVERSION and order.line not in known and order.line not in fresh:
                fresh[order.line] = attribute(order, self._touches, self._attribution_window_s)
        if fresh:
            self._credits.put(list(fresh.values()))
            fresh |= self._credits.find(fresh)  # another desk may have decided first
        return known | fresh

    def _slates(self, request_ids: set[RequestId]) -> dict[RequestId, RecordedSlate]:
        slates = {}
        for request_id, body in self._deliveries.find(request_ids).items():
            try:
                slates[request_id] = RecordedSlate(body)
            except Corrupt as error:
                log.error("a delivery record cannot be read, its orders are reported and not learnt: %s", error)
        return slates

    def _message(self, order: Order, credit: Credit | None, slates: Mapping[RequestId, RecordedSlate]) -> Message:
        credit = unattributed(order) if credit is None else credit
        event = Event(
            receipt_id=order.receipt_id,
            request_id=credit.request_id,
            position=credit.position,
            type=order.type,
            received_at=order.received_at,
            value=order.value,
            event_id=text_of(order.line),
            occurred_at=order.occurred_at,
        )
        slate = slates.get(credit.request_id)
        if slate is not None:
            return event_message(event, slate)
        body = bus_body(self._after_window(event, credit))
        return Message(event.receipt_id, event.received_at, body, event=event)

    def _after_window(self, event: Event, credit: Credit) -> Event:
        """An event whose slate's record has expired: for reports alone, without what a model would need.

        Within the reward window it is an orphan instead: the trainer would take a delivery without a model for one
        that was never to be learnt from.
        """
        window_ends = issued_at(event.request_id) + self._reward_window_s
        if not credit.position or event.received_at <= window_ends:
            return event
        return replace(event, delivery=_slim(credit))


def _slim(credit: Credit) -> Joined:
    return Joined(
        served_at=credit.served_at,
        placement=credit.placement,
        variant=credit.variant,
        policy=credit.policy,
        model="",
        unit=credit.unit,
        item_id=credit.item_id,
        context_factor=_NO_FACTOR,
        item_factor=_NO_FACTOR,
    )
