"""The number learnt from, derived from a delivery's events."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from omakase.core.events import CLICK, CONVERSION, ONCE_ONLY, RETURN


class Happened(Protocol):
    """What a reward needs to know of an event."""

    @property
    def receipt_id(self) -> bytes: ...
    @property
    def type(self) -> str: ...
    @property
    def received_at(self) -> float: ...
    @property
    def value(self) -> float | None: ...
    @property
    def event_id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RewardTable:
    """What each kind of event is worth at a placement. Kinds that are not listed are worth nothing.

    An event with a value of its own counts value × weight, any other counts its weight; an impression or a click always
    counts its weight. A return takes back the conversion with its `event_id`: as much of it as the return's value says,
    or all of it. Only the models named in `conversion_models` learn from conversions (None: all do): the others would
    take an order that has not come yet for a dislike.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {CLICK: 1.0})
    conversion_models: Collection[str] | None = None

    def outcomes(self, events: Collection[Happened], model: str = "") -> dict[str, float]:
        """`click` (0 or 1) and `reward` (the sum; an impression or a click counts once) as `model`, a key, learns them.

        Guarantees: the order of events is nothing to it.
        """
        kinds = {event.type for event in events}
        rewards = [self.weights.get(kind, 0.0) for kind in kinds & ONCE_ONLY]
        if len(kinds) > len(rewards):
            rewards += self._valued(events, model)
        return {"click": 1.0 if CLICK in kinds else 0.0, "reward": math.fsum(rewards)}

    def _valued(self, events: Collection[Happened], model: str) -> list[float]:
        returned: dict[str, float] = {}
        for event in events:
            if event.type == RETURN:
                most = math.inf if event.value is None else event.value
                returned[event.event_id] = max(most, returned.get(event.event_id, -math.inf))
        converts = self.conversion_models is None or model.rpartition("/")[0] in self.conversion_models
        rewards = []
        for event in events:
            if event.type in ONCE_ONLY or event.type == RETURN or (event.type == CONVERSION and not converts):
                continue
            value = 1.0 if event.value is None else event.value
            if event.type == CONVERSION and event.event_id in returned:
                taken_back = returned[event.event_id]
                value = 0.0 if math.isinf(taken_back) else value - taken_back
            rewards.append(self.weights.get(event.type, 0.0) * value)
        return rewards
