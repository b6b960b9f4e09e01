"""What people did with a delivery, as tracking accepted it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.core.ids import Pseudonym, RequestId
from omakase.core.slates import Slate

IMPRESSION = "impression"
CLICK = "click"
CONVERSION = "conversion"
RETURN = "return"  # takes back the conversion with the same `event_id`
EXCLUSION = "exclusion"  # made by Omakase, never accepted from outside: excludes a delivery and counts as nothing
ONCE_ONLY = frozenset({IMPRESSION, CLICK})
MAX_VALUE = 1e9


@dataclass(frozen=True, slots=True)
class Joined:
    """What an event needs to know of its delivery, so that learning needs no second look-up.

    Shapes: context_factor (m,), item_factor (p,).
    """

    served_at: float
    placement: str
    variant: str
    policy: str
    model: str
    unit: Pseudonym
    item_id: str
    context_factor: NDArray[np.float32]
    item_factor: NDArray[np.float32]
    predicted_click: float | None = None
    trace: str = ""

    @classmethod
    def of(cls, slate: Slate, position: int) -> Joined:
        """The facts of one position. Raises: InvalidInput if the slate has no such position."""
        if not 1 <= position <= len(slate.deliveries):
            raise InvalidInput(f"slate has {len(slate.deliveries)} positions, not {position}")
        delivery = slate.deliveries[position - 1]
        return cls(
            served_at=slate.served_at,
            placement=slate.placement,
            variant=slate.variant,
            policy=slate.policy,
            model=slate.model,
            unit=slate.unit,
            item_id=delivery.item_id,
            context_factor=slate.context_factor,
            item_factor=delivery.item_factor,
            predicted_click=delivery.predicted_click,
            trace=slate.trace,
        )


@dataclass(frozen=True, slots=True)
class Event:
    """One accepted event. `receipt_id` names the acceptance: a redelivery repeats it, a client's duplicate does not.

    Units: received_at (the server's clock, which counts) and occurred_at (the client's, only reported) in Unix
    seconds. `delivery` is None until the event is joined, and for ever where the delivery's record never came. A
    `position` of 0 names no delivery: an order that could not be attributed to one. `unwanted` is why the event, and
    with it its whole delivery, must not be learnt from; empty where nothing is wrong. `by_server`: the shop's own
    server sent it, so that it is not judged.
    """

    receipt_id: bytes
    request_id: RequestId
    position: int
    type: str
    received_at: float
    value: float | None = None
    event_id: str = ""
    occurred_at: float | None = None
    delivery: Joined | None = None
    unwanted: str = ""
    by_server: bool = False

    def __post_init__(self) -> None:
        for name, number in (("value", self.value), ("received_at", self.received_at)):
            if number is not None and not math.isfinite(number):
                raise InvalidInput(f"{name} must be a finite number")
        if self.type == EXCLUSION and not self.unwanted:
            raise InvalidInput("an exclusion needs a reason")
        if self.value is not None and abs(self.value) > MAX_VALUE:
            raise InvalidInput(f"value must be within ±{MAX_VALUE:g}")
