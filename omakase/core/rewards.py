"""The number learnt from, derived from a delivery's events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum

from omakase.core.events import CLICK, ONCE_ONLY, Event


@dataclass(frozen=True, slots=True)
class RewardTable:
    """What each kind of event is worth at a placement. Kinds that are not listed are worth nothing.

    An event with a value of its own counts value × weight, any other counts its weight; an impression or a click always
    counts its weight, for their beacons come from browsers and one with a value of 1e9 would be all a model knows.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {CLICK: 1.0})

    def outcomes(self, events: Iterable[Event]) -> dict[str, float]:
        """`click` (0 or 1) and `reward` (the sum; an impression or a click counts once, by the earliest).

        Guarantees: the order of events is nothing to it.
        """
        rewards, kinds = [], set()
        for event in sorted(events, key=lambda event: (event.received_at, event.receipt_id)):
            weight = self.weights.get(event.type, 0.0)
            if event.type not in ONCE_ONLY:
                rewards.append(weight * (1.0 if event.value is None else event.value))
            elif event.type not in kinds:
                rewards.append(weight)
            kinds.add(event.type)
        return {"click": float(CLICK in kinds), "reward": fsum(rewards)}
