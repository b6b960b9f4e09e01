"""A slate as it is served, and the record kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.core.examination import CERTAIN, Examination
from omakase.core.ids import MAX_POSITION, NOBODY, Keyring, Pseudonym, RequestId
from omakase.core.values import Facts

FALLBACK = "fallback"
_ONE = np.ones(1, dtype=np.float32)


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
    deliveries: Sequence[Delivery]
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


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """An item as the slates of one catalogue show it: made once, told apart by identity.

    Shapes: item_factor is (p,), empty where nothing is learnt. Units: value is what a click is worth.
    """

    item_id: str
    item_factor: NDArray[np.float32]
    metadata: Facts
    value: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Stamped(Sequence[Delivery]):
    """A slate's deliveries kept as columns, best first; a row is made only where somebody looks at it.

    Shapes: every column (k,), or None where the policy has none. `shares` is how likely each position is to be looked
    at, next to the first: it multiplies the item factor, and has been multiplied into `predicted_click`.
    """

    shown: Sequence[Shown]
    delivery_ids: Sequence[str]
    scores: Sequence[float]
    predicted_click: Sequence[float] | None = None
    propensity: Sequence[float] | None = None
    shares: Sequence[float] | None = None

    def __len__(self) -> int:
        return len(self.shown)

    @overload
    def __getitem__(self, place: int) -> Delivery: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Delivery]: ...

    def __getitem__(self, place: int | slice) -> Delivery | Sequence[Delivery]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        item = self.shown[place]
        return Delivery(
            position=place + 1,
            item_id=item.item_id,
            delivery_id=self.delivery_ids[place],
            score=self.scores[place],
            predicted_click=None if self.predicted_click is None else self.predicted_click[place],
            expected_value=self.expected_value(place),
            propensity=None if self.propensity is None else self.propensity[place],
            item_factor=self.item_factor(place),
            metadata=item.metadata,
        )

    def item_factor(self, place: int) -> NDArray[np.float32]:
        """As it was looked at. Without a model the share is all there is: what is counted has to know it."""
        factor = self.shown[place].item_factor
        if self.shares is None:
            return factor
        return (factor if factor.size else _ONE) * np.float32(self.shares[place])

    def expected_value(self, place: int) -> float | None:
        """Units: the shop's currency per impression. `place` counts from 0."""
        value = self.shown[place].value
        return None if self.predicted_click is None or value is None else self.predicted_click[place] * value


def stamp(
    shown: Sequence[Shown],
    request_id: RequestId,
    keyring: Keyring,
    scores: NDArray[np.floating],
    predicted_click: NDArray[np.float64] | None = None,
    propensity: NDArray[np.float64] | None = None,
    examination: Examination = CERTAIN,
) -> Stamped:
    """Give ranked items their positions and delivery IDs. Used alike by the recommender and by the fallback.

    By `examination` they are recorded as they will be looked at: x is linear in the item factor, so that a linear model
    learns what an item would be worth at the first position. Shapes: all (k,).
    """
    shares = None if examination.is_certain else examination.of_first(len(shown))
    if predicted_click is not None and shares is not None:
        predicted_click = predicted_click * shares
    return Stamped(
        shown,
        keyring.delivery_ids(request_id, len(shown)),
        scores.tolist(),
        None if predicted_click is None else predicted_click.tolist(),
        None if propensity is None else propensity.tolist(),
        None if shares is None else shares.tolist(),
    )


def anonymous(slate: Slate) -> Slate:
    """The slate with nothing in it that could be laid to a person: no pseudonyms, no raw context and no trace, which
    whoever asked may know them by."""
    return replace(slate, unit=NOBODY, user=NOBODY, context={}, trace="")
