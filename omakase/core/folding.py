"""From a slate's events to examples: the one fold that Beam, the tick and the tests share.

A session is one delivery's events, by the server's receipt time. It closes `gap_s` after its last event and at most
`max_s` after its first. The first session that closes makes an example; whatever comes later is a correction of it,
with the example's own weight and time, never a second one. Nothing seen within the reward window: never learnt, never
a dislike. Any event implies that its delivery was seen.

An event marked unwanted excludes its whole delivery, whenever it comes within the reward window: what is open is not
learnt, what was learnt is taken back. So which deliveries count does not depend on who was read first.

An example is as old as its slate: the time of its first event would depend on how its events were cut into folds.

`now` is the watermark of what was read, and never falls from one fold to the next. A slate that is remembered takes
whatever was received in its window, however late it is read: a trainer that was away for a day must not find that all
it has not read yet is too late. Once its window and lateness have passed, or a drain has folded it with `now` =
infinity, a slate is dropped and looks like a new one; so whoever folds says by `closed_before` which slates are over:
the watermark of the fold before, less window and lateness, or after a drain the time of the drain.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace

from omakase.core.accounting import DELIVERIES, EVENTS, RECEIVED, REDELIVERED, SERVED, DeliveryEnd, EventEnd, Tally
from omakase.core.events import CLICK, EXCLUSION, ONCE_ONLY, Event, Joined
from omakase.core.ids import issued_at
from omakase.core.rewards import RewardTable
from omakase.core.sessions import DeliveryState, Example, Fold, Learnt, Seen, SessionRules, SlateRead, SlateState

# Bounds on what one delivery may make the trainer remember, whatever a client sends.
MAX_EVENTS = 100
MAX_REPEATS = 256
_NO_TABLE = RewardTable()


def fold_slate(
    state: SlateState,
    slate: SlateRead | None,
    events: Iterable[Event],
    now: float,
    rules: SessionRules,
    rewards: Mapping[str, RewardTable],
    closed_before: float = -math.inf,
    *,
    is_discarded: bool = False,
) -> Fold:
    """Add what was read of one slate since the last fold, close what is due, forget what has expired.

    A slate that is new here though it was issued at or before `closed_before` was dropped: what is still read of it
    is unseen, or after the window. Of a slate that `is_discarded` what has ended as nothing else ends so, with its
    window: whatever is told of it until then counts.
    Guarantees: pure; while a slate is remembered, reading its record or an event twice changes nothing but
    `redelivered` (of a delivery's duplicates the last MAX_REPEATS are remembered); the sum of all examples and
    corrections does not depend on how the events were cut into folds.
    """
    issued = issued_at(state.request_id)
    # A slate that is remembered takes what came in time however late it is read: the trainer may have been away.
    takes_until = -math.inf if state.is_new and issued <= closed_before else issued + rules.reward_window_s
    is_last = math.isinf(takes_until) or now >= state.expires_at(rules)
    folding = _Folding(replace(state, is_discarded=True) if is_discarded else state, takes_until, rules, rewards)
    if slate is not None:
        folding.serve(slate)
    for event in sorted(events, key=_by_receipt):
        folding.take(event)
    folding.close_due(math.inf if is_last else now)  # whatever the gap: no open event may be dropped with its slate
    folded = folding.state()
    if is_last:
        folding.give_up(folded)
    return Fold(None if is_last else folded, tuple(folding.examples), folding.tally)


def _by_receipt(event: Event) -> tuple[float, bytes]:
    return event.received_at, event.receipt_id


class _Delivery:
    """A delivery's state while it is folded: mutable, for a fold touches it several times."""

    __slots__ = ("closes_at", "excluded", "joined", "learnt", "position", "repeats", "seen", "settled")

    def __init__(self, position: int, state: DeliveryState, rules: SessionRules) -> None:
        self.position = position
        self.seen = list(state.seen)
        self.settled = state.settled
        # Bounded within a fold too: each event is looked up among them, and a client may send as many as it likes.
        self.repeats = deque(state.repeats, MAX_REPEATS)
        self.joined = state.joined
        self.learnt = state.learnt
        self.excluded = state.excluded
        self.closes_at = state.closes_at(rules)

    def state(self) -> DeliveryState:
        repeats = tuple(self.repeats)
        return DeliveryState(tuple(self.seen), self.settled, repeats, self.joined, self.learnt, self.excluded)

    def has_read(self, receipt_id: bytes) -> bool:
        return receipt_id in self.repeats or any(receipt_id == seen.receipt_id for seen in self.seen)

    def has_alike(self, event: Event) -> bool:
        """A person sees and clicks a delivery once; anything else repeats itself only by its `event_id`.

        The type is part of it: a storefront that gives an impression and its click one id means two events.
        """
        for seen in self.seen:
            if seen.type == event.type:
                if event.event_id or seen.event_id:
                    if event.event_id == seen.event_id:
                        return True
                elif event.type in ONCE_ONLY:
                    return True
        return False

    def add(self, event: Event, rules: SessionRules) -> None:
        at = event.received_at
        self.seen.append(Seen(event.receipt_id, event.type, at, event.value, event.event_id))
        self.joined = event.delivery
        first, last = at, at
        for seen in self.seen[self.settled :]:
            first, last = min(first, seen.received_at), max(last, seen.received_at)
        self.closes_at = min(last + rules.gap_s, first + rules.max_s)

    def settle(self) -> int:
        """Close the session. Returns how many events were in it."""
        count = len(self.seen) - self.settled
        self.settled, self.joined, self.closes_at = len(self.seen), None, math.inf
        return count


class _Folding:
    """One fold at work: what `fold_slate` says, step by step."""

    def __init__(
        self,
        state: SlateState,
        takes_until: float,
        rules: SessionRules,
        rewards: Mapping[str, RewardTable],
    ) -> None:
        self.tally: Tally = Counter()
        self.examples: list[Example] = []
        self._request_id = state.request_id
        self._positions = state.positions
        self._is_trainable = state.is_trainable
        self._is_discarded = state.is_discarded
        self._deliveries = {at: _Delivery(at, delivery, rules) for at, delivery in state.deliveries.items()}
        self._issued = issued_at(state.request_id)
        self._takes_until = takes_until
        self._rules = rules
        self._rewards = rewards

    def state(self) -> SlateState:
        deliveries = {position: delivery.state() for position, delivery in self._deliveries.items()}
        return SlateState(self._request_id, self._positions, self._is_trainable, deliveries, self._is_discarded)

    def serve(self, slate: SlateRead) -> None:
        if self._positions:
            self.tally[DELIVERIES, REDELIVERED] += slate.positions
            return
        self.tally[DELIVERIES, SERVED] += slate.positions
        if not slate.is_trainable:
            self.tally[DELIVERIES, DeliveryEnd.NOT_TRAINABLE] += slate.positions
        self._positions, self._is_trainable = slate.positions, slate.is_trainable

    def take(self, event: Event) -> None:
        delivery = self._deliveries.get(event.position)
        if delivery is None:
            delivery = self._deliveries[event.position] = _Delivery(event.position, DeliveryState(), self._rules)
        counts = event.type != EXCLUSION  # made by Omakase itself: nobody sent it, so nobody misses it
        if delivery.has_read(event.receipt_id):
            self.tally[EVENTS, REDELIVERED] += counts
            return
        if event.received_at >= delivery.closes_at:
            self._close(delivery)
        self.tally[EVENTS, RECEIVED] += counts
        if event.delivery is not None and not event.delivery.model and event.received_at <= self._takes_until:
            self._is_trainable = False
        end = self._end_of(delivery, event)
        if end is None:
            delivery.add(event, self._rules)
            return
        delivery.repeats.append(event.receipt_id)
        self.tally[EVENTS, end] += counts

    def close_due(self, now: float) -> None:
        for delivery in self._deliveries.values():
            if now >= delivery.closes_at:
                self._close(delivery)

    def give_up(self, state: SlateState) -> None:
        """Nothing more can come: what is open ends."""
        end = DeliveryEnd.DISCARDED if state.is_discarded else DeliveryEnd.UNSEEN
        self.tally[DELIVERIES, end] += state.open_deliveries
        if state.is_discarded and state.positions and not state.is_trainable:
            discarded = state.positions - sum(delivery.excluded for delivery in state.deliveries.values())
            self.tally[DELIVERIES, DeliveryEnd.NOT_TRAINABLE] -= discarded
            self.tally[DELIVERIES, DeliveryEnd.DISCARDED] += discarded

    def _end_of(self, delivery: _Delivery, event: Event) -> EventEnd | None:
        """How an event ends at once; None if it belongs to a session, whose closing will say."""
        joined = event.delivery
        if joined is None:
            return EventEnd.ORPHAN_EXPIRED if event.position else EventEnd.UNATTRIBUTED
        if event.received_at > self._takes_until:
            return EventEnd.AFTER_WINDOW
        if event.unwanted and not delivery.excluded:
            self._exclude(delivery, joined)
        if delivery.excluded:
            return EventEnd.EXCLUDED
        if delivery.has_alike(event):
            return EventEnd.DUPLICATE
        return EventEnd.REJECTED if len(delivery.seen) >= MAX_EVENTS else None

    def _exclude(self, delivery: _Delivery, joined: Joined) -> None:
        learnt, events = delivery.learnt, len(delivery.seen)
        if learnt is not None:
            self.tally[EVENTS, EventEnd.USED] -= learnt.used
            self.tally[EVENTS, EventEnd.CORRECTED_LATE] -= delivery.settled - learnt.used
            if joined.model:
                self._learn(delivery, joined, None, learnt)
        if not joined.model:
            self.tally[DELIVERIES, DeliveryEnd.NOT_TRAINABLE] -= 1
        self.tally[DELIVERIES, DeliveryEnd.EXCLUDED] += 1
        self.tally[EVENTS, EventEnd.EXCLUDED] += events
        delivery.repeats += [seen.receipt_id for seen in delivery.seen]
        delivery.seen = []
        delivery.settle()
        delivery.learnt, delivery.excluded = None, True

    def _close(self, delivery: _Delivery) -> None:
        """The open session, if there is one, becomes the example or a correction of it."""
        joined, learnt = delivery.joined, delivery.learnt
        if joined is None:
            return
        outcomes = self._rewards.get(joined.placement, _NO_TABLE).outcomes(delivery.seen, joined.model)
        if joined.model and (learnt is None or outcomes != learnt.outcomes):
            self._learn(delivery, joined, outcomes, learnt)
        count = delivery.settle()
        self.tally[EVENTS, EventEnd.USED if learnt is None else EventEnd.CORRECTED_LATE] += count
        delivery.learnt = Learnt(outcomes, 1.0, count) if learnt is None else replace(learnt, outcomes=outcomes)

    def _learn(
        self, delivery: _Delivery, joined: Joined, outcomes: Mapping[str, float] | None, learnt: Learnt | None
    ) -> None:
        weight, before = (1.0, None) if learnt is None else (learnt.weight, learnt.outcomes)
        clicked_at = None  # a click that is taken back was not learnt
        if outcomes is not None:
            clicks = (seen.received_at for seen in delivery.seen[delivery.settled :] if seen.type == CLICK)
            clicked_at = min(clicks, default=None)
        self.examples.append(
            Example(joined, outcomes, weight, self._issued, before, clicked_at, self._request_id, delivery.position)
        )
        if before is not None:
            self.tally[DELIVERIES, _end(before)] -= 1
        if outcomes is not None:
            self.tally[DELIVERIES, _end(outcomes)] += 1


def _end(outcomes: Mapping[str, float]) -> DeliveryEnd:
    return DeliveryEnd.LEARNT if outcomes["click"] else DeliveryEnd.LEARNT_WITHOUT_CLICK
