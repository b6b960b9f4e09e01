"""The number learnt from, derived from a delivery's events."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Literal, Protocol, TypeAlias

from omakase.core.events import CLICK, CONVERSION, ONCE_ONLY, RETURN

Combination: TypeAlias = Literal["sum", "max", "first", "last"]


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
    """What each kind of event is worth at a placement. Kinds that are not listed are worth nothing, and count as none.

    An event with a value of its own counts value × weight, any other counts its weight; an impression or a click always
    counts its weight. A return takes back the conversion with its `event_id`: as much of it as the return's value says,
    or all of it, and then there was none. What a delivery's events are worth is combined: their sum, the highest, or
    that of the first or the last one received. Only the models named in `conversion_models` learn from conversions
    (None: all do): the others would take an order that has not come yet for a dislike.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {CLICK: 1.0})
    conversion_models: Collection[str] | None = None
    combination: Combination = "sum"

    def outcomes(self, events: Collection[Happened], model: str = "") -> dict[str, float]:
        """`click` (0 or 1) and `reward` (0 without an event that counts) as `model`, a key, learns them.

        Guarantees: the order in which events are given is nothing to it; what comes first and last is a matter of
        `received_at`, and where that is equal, of `receipt_id`.
        """
        kinds = {event.type for event in events}
        in_order = events if self.combination == "sum" else sorted(events, key=_by_receipt)
        worth = self._worth(in_order, kinds, model)
        reward = _COMBINED[self.combination](worth) if worth else 0.0
        return {"click": 1.0 if CLICK in kinds else 0.0, "reward": reward}

    def _worth(self, events: Iterable[Happened], kinds: Collection[str], model: str) -> list[float]:
        """Of the events that count, in the order given; of impressions and of clicks the first alone counts."""
        returned = _returned(events) if RETURN in kinds else {}
        converts = self.conversion_models is None or model.rpartition("/")[0] in self.conversion_models
        counted: set[str] = set()
        worth = []
        for event in events:
            weight = self.weights.get(event.type)
            if weight is None or event.type in counted or event.type == RETURN:
                continue
            if event.type in ONCE_ONLY:
                counted.add(event.type)
                worth.append(weight)
            elif event.type != CONVERSION:
                worth.append(weight if event.value is None else weight * event.value)
            elif converts:
                value = 1.0 if event.value is None else event.value
                back = returned.get(event.event_id)
                if back is None:
                    worth.append(weight * value)
                elif back < math.inf and back != value:
                    worth.append(weight * (value - back))
        return worth


_COMBINED: Mapping[Combination, Callable[[Sequence[float]], float]] = {
    "sum": math.fsum,
    "max": max,
    "first": itemgetter(0),
    "last": itemgetter(-1),
}


def _by_receipt(event: Happened) -> tuple[float, bytes]:
    return event.received_at, event.receipt_id


def _returned(events: Iterable[Happened]) -> dict[str, float]:
    """How much of each conversion; infinity is all of it."""
    returned: dict[str, float] = {}
    for event in events:
        if event.type == RETURN:
            most = math.inf if event.value is None else event.value
            returned[event.event_id] = max(most, returned.get(event.event_id, -math.inf))
    return returned
