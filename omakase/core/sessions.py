"""What is remembered of a slate and its deliveries, and what is learnt of them. How: `omakase.core.folding`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from omakase.core.accounting import Tally
from omakase.core.events import Joined
from omakase.core.ids import RequestId, issued_at

_NO_REQUEST = RequestId(b"")


@dataclass(frozen=True, slots=True)
class SessionRules:
    """Units: seconds of receipt time."""

    gap_s: float
    max_s: float
    reward_window_s: float
    allowed_lateness_s: float = 60.0


class Seen(NamedTuple):
    """What is remembered of an event that counts. Units: received_at in Unix seconds."""

    receipt_id: bytes
    type: str
    received_at: float
    value: float | None = None
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the model was told of a delivery, and how many events the example was made of."""

    outcomes: Mapping[str, float]
    weight: float
    used: int


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """What is remembered of one delivery until its reward window closes.

    `seen[settled:]` is the open session; `joined` is kept while there is one. `repeats` are the receipts of events that
    do not count, remembered so that a redelivered one is not counted twice.
    """

    seen: tuple[Seen, ...] = ()
    settled: int = 0
    repeats: tuple[bytes, ...] = ()
    joined: Joined | None = None
    learnt: Learnt | None = None
    excluded: bool = False

    @property
    def open_events(self) -> Sequence[Seen]:
        return self.seen[self.settled :]

    def closes_at(self, rules: SessionRules) -> float:
        """When the open session closes; infinity where none is open."""
        received = [event.received_at for event in self.open_events]
        return min(max(received) + rules.gap_s, min(received) + rules.max_s) if received else math.inf


@dataclass(frozen=True, slots=True)
class SlateState:
    """What is remembered of a slate. `positions` is 0 until the slate's own record was read; `is_discarded` once it was
    read that nobody saw it."""

    request_id: RequestId
    positions: int = 0
    is_trainable: bool = True
    deliveries: Mapping[int, DeliveryState] = field(default_factory=dict)
    is_discarded: bool = False

    def expires_at(self, rules: SessionRules) -> float:
        return issued_at(self.request_id) + rules.reward_window_s + rules.allowed_lateness_s

    def due_at(self, rules: SessionRules) -> float:
        """When this state wants to be looked at again although nothing new has come."""
        closing = min((state.closes_at(rules) for state in self.deliveries.values()), default=math.inf)
        return min(closing, self.expires_at(rules))

    @property
    def open_events(self) -> int:
        return sum(len(state.seen) - state.settled for state in self.deliveries.values())

    @property
    def is_new(self) -> bool:
        """Nothing of this slate is remembered: it was never read, or it was read and dropped."""
        return not (self.positions or self.deliveries or self.is_discarded)

    @property
    def open_deliveries(self) -> int:
        """Served, trainable, and neither learnt from, excluded nor given up yet.

        Negative while events were read and the slate's record was not: a debt that the record pays when it comes,
        even if this state was dropped before.
        """
        if not self.is_trainable:
            return 0
        return self.positions - sum(state.learnt is not None or state.excluded for state in self.deliveries.values())


@dataclass(frozen=True, slots=True)
class Example:
    """Something to add to a model: a new (x, y); a correction, where `before` holds what was learnt of it; or, where
    `outcomes` is None, `before` taken back altogether. Units: at in Unix seconds, when the slate was issued.
    """

    delivery: Joined
    outcomes: Mapping[str, float] | None
    weight: float
    at: float
    before: Mapping[str, float] | None = None
    clicked_at: float | None = None
    request_id: RequestId = _NO_REQUEST
    position: int = 0


@dataclass(frozen=True, slots=True)
class Fold:
    """What a fold gives: the state to keep (None: nothing more can come), what to learn, and what to count."""

    state: SlateState | None
    examples: tuple[Example, ...]
    tally: Tally


@dataclass(frozen=True, slots=True)
class Discarded:
    """That nobody saw a slate, for its answer came after another had been given in its place."""

    request_id: RequestId


@dataclass(frozen=True, slots=True)
class SlateRead:
    """A slate's own record, as far as the fold needs it."""

    positions: int
    is_trainable: bool
