"""From a slate's events to examples: the one fold that Beam, the tick and the tests share.

A session is one delivery's events, by the server's receipt time. It closes `gap_s` after its last event and at most
`max_s` after its first. The first session that closes makes an example; whatever comes later is a correction of it,
with the example's own weight, never a second one. Nothing seen within the reward window: never learnt, never a
dislike. Any event implies that its delivery was seen.

`now` is the watermark of what was read, and never falls from one fold to the next. A slate that is remembered takes
whatever was received in its window, however late it is read: a trainer that was away for a day must not find that all
it has not read yet is too late. Once its window and lateness have passed, or a drain has folded it with `now` =
infinity, a slate is dropped and looks like a new one; so whoever folds says by `closed_before` which slates are over:
the watermark of the fold before, less window and lateness, or after a drain the time of the drain.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from omakase.core.accounting import DELIVERIES, EVENTS, RECEIVED, REDELIVERED, SERVED, DeliveryEnd, EventEnd, Tally
from omakase.core.events import CLICK, ONCE_ONLY, Event, Joined
from omakase.core.ids import RequestId, issued_at
from omakase.core.rewards import RewardTable

# Bounds on what one delivery may make the trainer remember, whatever a client sends.
MAX_EVENTS = 100
MAX_REPEATS = 256


@dataclass(frozen=True, slots=True)
class SessionRules:
    """Units: seconds of receipt time."""

    gap_s: float
    max_s: float
    reward_window_s: float
    allowed_lateness_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the model was told of a delivery. Units: at in Unix seconds, the receipt of the example's first event."""

    outcomes: Mapping[str, float]
    weight: float
    at: float


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """What is remembered of one delivery until its reward window closes.

    `seen[settled:]` is the open session; `joined` is kept while there is one. `repeats` are the receipts of client
    duplicates, remembered so that a redelivered duplicate is not counted twice.
    """

    seen: tuple[Event, ...] = ()
    settled: int = 0
    repeats: tuple[bytes, ...] = ()
    joined: Joined | None = None
    learnt: Learnt | None = None

    @property
    def open_events(self) -> Sequence[Event]:
        return self.seen[self.settled :]

    def closes_at(self, rules: SessionRules) -> float:
        """When the open session closes; infinity where none is open."""
        received = [event.received_at for event in self.open_events]
        return min(max(received) + rules.gap_s, min(received) + rules.max_s) if received else math.inf

    def has_read(self, receipt_id: bytes) -> bool:
        return receipt_id in self.repeats or any(receipt_id == event.receipt_id for event in self.seen)


@dataclass(frozen=True, slots=True)
class SlateState:
    """What is remembered of a slate. `positions` is 0 until the slate's own record was read."""

    request_id: RequestId
    positions: int = 0
    is_trainable: bool = True
    deliveries: Mapping[int, DeliveryState] = field(default_factory=dict)

    def expires_at(self, rules: SessionRules) -> float:
        return issued_at(self.request_id) + rules.reward_window_s + rules.allowed_lateness_s

    def due_at(self, rules: SessionRules) -> float:
        """When this state wants to be looked at again although nothing new has come."""
        closing = min((state.closes_at(rules) for state in self.deliveries.values()), default=math.inf)
        return min(closing, self.expires_at(rules))

    @property
    def open_events(self) -> int:
        return sum(len(state.open_events) for state in self.deliveries.values())

    @property
    def is_new(self) -> bool:
        """Nothing of this slate is remembered: it was never read, or it was read and dropped."""
        return not self.positions and not self.deliveries

    @property
    def open_deliveries(self) -> int:
        """Served, trainable, and neither learnt from nor given up yet.

        Negative while events were read and the slate's record was not: a debt that the record pays when it comes,
        even if this state was dropped before.
        """
        if not self.is_trainable:
            return 0
        return self.positions - sum(state.learnt is not None for state in self.deliveries.values())


@dataclass(frozen=True, slots=True)
class Example:
    """Something to add to a model: a new (x, y), or a correction where `before` holds what was learnt of it."""

    delivery: Joined
    outcomes: Mapping[str, float]
    weight: float
    at: float
    before: Mapping[str, float] | None = None
    clicked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Fold:
    """What a fold gives: the state to keep (None: nothing more can come), what to learn, and what to count."""

    state: SlateState | None
    examples: tuple[Example, ...]
    tally: Tally


@dataclass(frozen=True, slots=True)
class SlateRead:
    """A slate's own record, as far as the fold needs it."""

    positions: int
    is_trainable: bool


def fold_slate(
    state: SlateState,
    slate: SlateRead | None,
    events: Iterable[Event],
    now: float,
    rules: SessionRules,
    rewards: Mapping[str, RewardTable],
    closed_before: float = -math.inf,
) -> Fold:
    """Add what was read of one slate since the last fold, close what is due, forget what has expired.

    A slate that is new here though it was issued at or before `closed_before` was dropped: what is still read of it
    is unseen, or after the window.
    Guarantees: pure; while a slate is remembered, reading its record or an event twice changes nothing but
    `redelivered` (of a delivery's duplicates the last MAX_REPEATS are remembered); the sum of all examples and
    corrections does not depend on how the events were cut into folds.
    """
    takes_until = _takes_until(state, rules, closed_before)
    is_last = math.isinf(takes_until) or now >= state.expires_at(rules)
    tally: Tally = Counter()
    if slate is not None:
        state = _serve(state, slate, tally)
    examples: list[Example] = []
    deliveries = dict(state.deliveries)
    for event in sorted(events, key=lambda event: (event.received_at, event.receipt_id)):
        known = deliveries.get(event.position, DeliveryState())
        if known.has_read(event.receipt_id):
            tally[EVENTS, REDELIVERED] += 1
            continue
        known = _close_if_due(known, event.received_at, rules, rewards, examples, tally)
        deliveries[event.position] = _take(known, event, takes_until, tally)
        if event.delivery is not None and not event.delivery.model:
            state = replace(state, is_trainable=False)
    closing = math.inf if is_last else now  # whatever the session gap: no open event may be dropped with its slate
    deliveries = {p: _close_if_due(d, closing, rules, rewards, examples, tally) for p, d in deliveries.items()}
    state = replace(state, deliveries=deliveries)
    if is_last:
        tally[DELIVERIES, DeliveryEnd.UNSEEN] += state.open_deliveries
    return Fold(None if is_last else state, tuple(examples), tally)


def _takes_until(state: SlateState, rules: SessionRules, closed_before: float) -> float:
    """Until when an event must have been received to count: the end of the window, or -infinity if all is over.

    A slate that is remembered takes what came in time however late it is read: the trainer may have been away.
    """
    issued = issued_at(state.request_id)
    return -math.inf if state.is_new and issued <= closed_before else issued + rules.reward_window_s


def _serve(state: SlateState, slate: SlateRead, tally: Tally) -> SlateState:
    if state.positions:
        tally[DELIVERIES, REDELIVERED] += slate.positions
        return state
    tally[DELIVERIES, SERVED] += slate.positions
    if not slate.is_trainable:
        tally[DELIVERIES, DeliveryEnd.NOT_TRAINABLE] += slate.positions
    return replace(state, positions=slate.positions, is_trainable=slate.is_trainable)


def _take(state: DeliveryState, event: Event, takes_until: float, tally: Tally) -> DeliveryState:
    tally[EVENTS, RECEIVED] += 1
    if event.delivery is None:
        tally[EVENTS, EventEnd.ORPHAN_EXPIRED] += 1
    elif event.received_at > takes_until:
        tally[EVENTS, EventEnd.AFTER_WINDOW] += 1
    elif any(_is_duplicate(event, seen) for seen in state.seen):
        tally[EVENTS, EventEnd.DUPLICATE] += 1
    elif len(state.seen) >= MAX_EVENTS:
        tally[EVENTS, EventEnd.REJECTED] += 1
    else:
        return replace(state, seen=(*state.seen, replace(event, delivery=None)), joined=event.delivery)
    return replace(state, repeats=(*state.repeats, event.receipt_id)[-MAX_REPEATS:])


def _is_duplicate(event: Event, seen: Event) -> bool:
    """A person sees and clicks a delivery once; anything else repeats itself only by its `event_id`.

    The type is part of the comparison: a storefront that gives an impression and its click one id means two events.
    """
    if event.type != seen.type:
        return False
    if event.event_id or seen.event_id:
        return event.event_id == seen.event_id
    return event.type in ONCE_ONLY


def _close_if_due(
    state: DeliveryState,
    now: float,
    rules: SessionRules,
    rewards: Mapping[str, RewardTable],
    examples: list[Example],
    tally: Tally,
) -> DeliveryState:
    joined = state.joined
    if joined is None or now < state.closes_at(rules):
        return state
    outcomes = rewards.get(joined.placement, RewardTable()).outcomes(state.seen)
    learnt = state.learnt
    if learnt is None:
        tally[EVENTS, EventEnd.USED] += len(state.open_events)
        learnt = Learnt(outcomes, 1.0, min(event.received_at for event in state.open_events))
        if joined.model:
            examples.append(Example(joined, outcomes, learnt.weight, learnt.at, clicked_at=_clicked_at(state)))
            tally[DELIVERIES, _end(outcomes)] += 1
    else:
        tally[EVENTS, EventEnd.CORRECTED_LATE] += len(state.open_events)
        if joined.model and outcomes != learnt.outcomes:
            clicked_at = _clicked_at(state)
            examples.append(Example(joined, outcomes, learnt.weight, learnt.at, learnt.outcomes, clicked_at))
            tally[DELIVERIES, _end(learnt.outcomes)] -= 1
            tally[DELIVERIES, _end(outcomes)] += 1
        learnt = replace(learnt, outcomes=outcomes)
    return replace(state, settled=len(state.seen), joined=None, learnt=learnt)


def _end(outcomes: Mapping[str, float]) -> DeliveryEnd:
    return DeliveryEnd.LEARNT if outcomes["click"] else DeliveryEnd.LEARNT_WITHOUT_CLICK


def _clicked_at(state: DeliveryState) -> float | None:
    return min((event.received_at for event in state.open_events if event.type == CLICK), default=None)
