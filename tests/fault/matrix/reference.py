"""What every model must hold, folded once more in the plainest words from what the warehouse says was accepted.

Nothing of `omakase.core` is used here, and no Beam: a mistake in those must not be made twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.fault.matrix.shop import CONVERTING, REWARDS
from tests.plain_sums import Sums, features

ONCE_ONLY = ("impression", "click")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row of the warehouse. `model` is empty where nothing learns from it."""

    delivery_id: str
    model: str
    item_id: str
    context_factor: NDArray[np.float64]
    item_factor: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as tracking stored it. `number` is that of the storefront's sending."""

    request_id: str
    position: int
    type: str
    event_id: str
    number: int


Place = tuple[str, int]  # request id and position: one delivery


def counted(events: Iterable[Stored]) -> dict[Place, set[tuple[str, str]]]:
    """By delivery, what happened: the same type with the same event id is one event, however often it was stored."""
    happened: dict[Place, set[tuple[str, str]]] = {}
    for event in events:
        happened.setdefault((event.request_id, event.position), set()).add((event.type, event.event_id))
    return happened


def fold(deliveries: Mapping[Place, Delivery], events: Sequence[Stored]) -> dict[str, Sums]:
    """The sums by model. Whatever may happen more than once has an event id here, and nothing a value."""
    sums: dict[str, Sums] = {}
    for place, happened in counted(events).items():
        delivery = deliveries.get(place)
        if delivery is None or not delivery.model:
            continue
        x = features(delivery.context_factor, delivery.item_factor)
        types = [type_ for type_, _ in happened]
        reward = 0.0
        for type_, worth in REWARDS.items():
            times = types.count(type_)
            if type_ == "conversion" and delivery.model.split("/")[0] not in CONVERTING:
                times = 0
            reward += worth * (min(times, 1) if type_ in ONCE_ONLY else times)
        click = 1.0 if "click" in types else 0.0
        sums.setdefault(delivery.model, Sums.empty(len(x))).add(x, {"click": click, "reward": reward})
    return sums
