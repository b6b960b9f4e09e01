"""What a model must hold after a history, in the plainest words: dicts, loops and outer products.

Nothing of sessions, folds, rewards or sums is imported here: a mistake in those must not be made twice. There is no
session and no watermark either, for neither may change what is learnt in the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from omakase.core.events import Event
from tests.plain_sums import Sums, features


@dataclass(frozen=True, slots=True)
class Reference:
    """`weights` are the rewards by type, `combination` what they come to, by receipt. `converting` are the models that
    learn from conversions. Units: seconds.
    """

    window_s: float
    weights: Mapping[str, float]
    converting: frozenset[str]
    half_lives: Mapping[str, float] = field(default_factory=dict)
    combination: str = "sum"

    def sums(self, read: Iterable[Event], as_of: float) -> dict[str, Sums]:
        """By model, what is learnt of the events that were read in time, in the order they were read."""
        models: dict[str, Sums] = {}
        for events in self.counted(read).values():
            delivery = events[0].delivery
            assert delivery is not None
            if not delivery.model:
                continue
            x = features(delivery.context_factor, delivery.item_factor)
            weight = 1.0
            if delivery.model in self.half_lives:
                weight = 0.5 ** ((as_of - issued_at(events[0])) / self.half_lives[delivery.model])
            outcomes = {
                "click": 1.0 if any(event.type == "click" for event in events) else 0.0,
                "reward": self._reward(events, delivery.model in self.converting),
            }
            sums = models.setdefault(delivery.model, Sums.empty(x.size))
            sums.add(x, outcomes, weight)
            z = features(delivery.context_factor, delivery.item_factor[:1])
            sums.of_item(delivery.item_id, z.size).add(z, outcomes, weight)
        return models

    def counted(self, read: Iterable[Event]) -> dict[tuple[bytes, int], list[Event]]:
        """By delivery, the events that count; deliveries of which one is unwanted are left out."""
        deliveries: dict[tuple[bytes, int], list[Event]] = {}
        receipts = set()
        unwanted = set()
        for event in read:
            if event.receipt_id in receipts:
                continue
            receipts.add(event.receipt_id)
            if event.delivery is None or event.received_at > issued_at(event) + self.window_s:
                continue
            key = (event.request_id, event.position)
            if event.unwanted:
                unwanted.add(key)
            before = deliveries.setdefault(key, [])
            if not any(is_same(event, other) for other in before):
                before.append(event)
        return {key: events for key, events in deliveries.items() if key not in unwanted}

    def _reward(self, events: Iterable[Event], converts: bool) -> float:
        rewards = []
        once = set()
        returned: dict[str, float | None] = {}  # of several returns of one sale, the one that takes back most
        for event in events:
            if event.type == "return":
                known = returned.get(event.event_id, -math.inf)
                whole = event.value is None or known is None
                returned[event.event_id] = None if whole else max(known, event.value)
        for event in sorted(events, key=lambda event: (event.received_at, event.receipt_id)):
            if event.type not in self.weights or event.type == "return":
                continue
            weight = self.weights[event.type]
            if event.type in ("impression", "click"):
                if event.type not in once:
                    once.add(event.type)
                    rewards.append(weight)
            elif event.type == "conversion":
                value = 1.0 if event.value is None else event.value
                if event.event_id in returned:
                    back = returned[event.event_id]
                    if back is None or back == value:
                        continue
                    value -= back
                if converts:
                    rewards.append(weight * value)
            else:
                rewards.append(weight * (1.0 if event.value is None else event.value))
        if self.combination in ("sum", "max"):
            return sum(rewards) if self.combination == "sum" else max(rewards, default=0.0)
        return (rewards or [0.0])[0 if self.combination == "first" else -1]


def is_same(one: Event, other: Event) -> bool:
    if one.type != other.type or one.event_id != other.event_id:
        return False
    return one.event_id != "" or one.type in ("impression", "click")


def issued_at(event: Event) -> float:
    return int.from_bytes(event.request_id[:6], "big") / 1000
