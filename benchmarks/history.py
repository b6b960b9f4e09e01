"""A bus filled beforehand: what tracking publishes in a busy shop, so that a trainer can be measured by itself."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from omakase.adapters import open_event_bus, open_event_log
from omakase.config import load_product
from omakase.core.events import CLICK, CONVERSION, IMPRESSION, Event, Joined
from omakase.core.ids import NOBODY, RequestId, new_request_id
from omakase.core.slates import Delivery, Slate
from omakase.demo.market import build_market
from omakase.demo.product import MODEL, PLACEMENT, TREATMENT, product_yaml
from omakase.deployment import Deployment
from omakase.ports.event_bus import Message
from omakase.snapshots import model_key
from omakase.wire import bus_body

SLOTS = 10
CLICK_SHARE, CONVERSION_SHARE = 0.05, 0.01
SLATES_PER_S = 100.0
# After the slate. A click is in the session of its impression; a conversion comes later, as a correction.
_IMPRESSION_S, _CLICK_S, _CONVERSION_S = 1.0, 2.5, 6.0
_PUBLISH = 10_000


@dataclass(frozen=True, slots=True)
class History:
    """What a bus was filled with."""

    deployment: Deployment
    messages: int
    events: int
    deliveries: int


def fill(directory: Path, slates: int, ends_at: float) -> History:
    """`slates` slates of the demo's product, d 72, all seen, received at a steady rate up to about `ends_at`."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "product.yaml"
    config.write_text(product_yaml())
    deployment = Deployment(config, directory / "data")
    bus, log = open_event_bus(deployment.uris.bus), open_event_log(deployment.uris.bus)
    messages = _Shop(deployment).messages(slates, ends_at - slates / SLATES_PER_S - _CONVERSION_S)
    while some := list(islice(messages, _PUBLISH)):
        bus.publish(some)
    totals = log.totals()
    return History(deployment, log.last_offset(), totals["events"], totals["deliveries"])


class _Shop:
    """Shows random items and draws what people do with them."""

    def __init__(self, deployment: Deployment) -> None:
        spec = load_product(deployment.config).feature_spec(MODEL)
        market = build_market(1)
        self._rng = random.Random(1)
        self._model = model_key(MODEL, spec.schema_id)
        self._items = [(item, spec.encode_item(item.metadata)) for item in market.items]
        self._contexts = [(context, spec.encode_context(context)) for context in market.contexts]

    def messages(self, slates: int, starts_at: float) -> Iterator[Message]:
        """In the order of their receipt."""
        later: list[tuple[float, int, Message]] = []
        number = 0
        for i in range(slates):
            slate = self._slate(starts_at + i / SLATES_PER_S)
            while later and later[0][0] <= slate.served_at:
                yield heapq.heappop(later)[2]
            yield Message(slate.request_id, slate.served_at, bus_body(slate), "deliveries", SLOTS)
            for event in self._events(slate):
                number += 1
                message = Message(event.receipt_id, event.received_at, bus_body(event))
                heapq.heappush(later, (event.received_at, number, message))
        yield from (message for _, _, message in sorted(later))

    def _slate(self, at: float) -> Slate:
        context, context_factor = self._rng.choice(self._contexts)
        request_id = new_request_id(at, self._rng.randbytes)
        return Slate(
            request_id=request_id,
            served_at=at,
            placement=PLACEMENT,
            variant=TREATMENT,
            policy="thompson",
            model=self._model,
            model_version=f"{self._model}@1",
            catalogue_generation=1,
            unit=NOBODY,
            user=NOBODY,
            context=context,
            context_factor=context_factor,
            deliveries=tuple(self._delivery(position) for position in range(1, SLOTS + 1)),
        )

    def _delivery(self, position: int) -> Delivery:
        item, factor = self._rng.choice(self._items)
        return Delivery(position, item.item_id, "x" * 32, 0.1, 0.02, 1.0, None, factor, item.metadata)

    def _events(self, slate: Slate) -> Iterator[Event]:
        for position in range(1, SLOTS + 1):
            delivery = Joined.of(slate, position)
            luck = self._rng.random()
            yield self._event(slate.request_id, position, IMPRESSION, slate.served_at + _IMPRESSION_S, delivery)
            if luck < CLICK_SHARE:
                yield self._event(slate.request_id, position, CLICK, slate.served_at + _CLICK_S, delivery)
            if luck < CONVERSION_SHARE:
                yield self._event(slate.request_id, position, CONVERSION, slate.served_at + _CONVERSION_S, delivery)

    def _event(self, request_id: RequestId, position: int, kind: str, at: float, delivery: Joined) -> Event:
        receipt_id = new_request_id(at, self._rng.randbytes)
        value, event_id = (30.0, receipt_id.hex()) if kind == CONVERSION else (None, "")
        return Event(receipt_id, request_id, position, kind, at, value, event_id, delivery=delivery)
