"""A slate as it is served, and the record kept of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.core.ids import MAX_POSITION, NOBODY, Keyring, Pseudonym, RequestId
from omakase.core.values import Facts

FALLBACK = "fallback"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One item of one slate.

    Shapes: item_factor is (p,), empty where nothing is learnt. Units: predicted_click and propensity are
    probabilities, or None where the policy has none; expected_value is in the shop's currency per impression.
    """

    position: int
    item_id: str
    delivery_id: str
    score: float
    predicted_click: float | None
    expected_value: float | None
    propensity: float | None
    item_factor: NDArray[np.float32]
    metadata: Facts


@dataclass(frozen=True, slots=True)
class Slate:
    """All that training and reports may ever ask about one answer.

    Features are kept factored: the context factor (m,) once, an item factor (p,) per delivery; x is their exact
    product. Training learns from what was served, never from today's catalogue. Units: served_at in Unix seconds.

    `experiment` is empty outside of one; a `shadow` was never shown to anybody; `trace` is a traceparent of W3C's Trace
    Context, or empty.
    """

    request_id: RequestId
    served_at: float
    placement: str
    variant: str
    policy: str
    model: str
    model_version: str
    catalogue_generation: int
    unit: Pseudonym
    user: Pseudonym
    context: Facts
    context_factor: NDArray[np.float32]
    deliveries: tuple[Delivery, ...]
    fallback: bool = False
    experiment: str = ""
    assigned_by: str = ""
    shadow: bool = False
    trace: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.served_at < 1e11:
            raise InvalidInput("served_at must be Unix seconds")
        if len(self.deliveries) > MAX_POSITION:
            raise InvalidInput(f"a slate has at most {MAX_POSITION} items, not {len(self.deliveries)}")

    @property
    def is_trainable(self) -> bool:
        return bool(self.model)


@dataclass(frozen=True, slots=True)
class Ranked:
    """One ranked item before it is stamped."""

    item_id: str
    score: float
    item_factor: NDArray[np.float32]
    metadata: Facts
    predicted_click: float | None = None
    value: float | None = None
    propensity: float | None = None


def stamp(ranking: list[Ranked], request_id: RequestId, keyring: Keyring) -> tuple[Delivery, ...]:
    """Give every ranked item its position and its delivery ID. Used alike by the recommender and by the fallback."""
    return tuple(
        Delivery(
            position=position,
            item_id=item.item_id,
            delivery_id=keyring.delivery_id(request_id, position),
            score=item.score,
            predicted_click=item.predicted_click,
            expected_value=_expected_value(item),
            propensity=item.propensity,
            item_factor=item.item_factor,
            metadata=item.metadata,
        )
        for position, item in enumerate(ranking, start=1)
    )


def anonymous(slate: Slate) -> Slate:
    """The slate with nothing in it that could be laid to a person: no pseudonyms and no raw context."""
    return replace(slate, unit=NOBODY, user=NOBODY, context={})


def _expected_value(item: Ranked) -> float | None:
    if item.predicted_click is None or item.value is None:
        return None
    return item.predicted_click * item.value
