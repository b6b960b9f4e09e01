"""The fold of a slate against a brute-force reference, for any history, cut and order."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from omakase.core.accounting import DELIVERIES, EVENTS, RECEIVED, REDELIVERED, SERVED
from omakase.core.events import Event, Joined
from omakase.core.folding import fold_slate
from omakase.core.ids import NOBODY, RequestId
from omakase.core.rewards import RewardTable
from omakase.core.sessions import Example, SessionRules, SlateRead, SlateState
from omakase.core.training import summarise
from omakase.states import decode_state, encode_state

ISSUED = 1000.0
REQUEST = RequestId(int(ISSUED * 1000).to_bytes(6, "big") + bytes(10))
POSITIONS = 2
WEIGHTS = {"impression": -0.25, "click": 1.0, "conversion": 0.5}
REWARDS = {"home": RewardTable(WEIGHTS)}


@dataclass(frozen=True)
class Read:
    """What one fold is given. `slate`: the slate's record is among it."""

    events: tuple[Event, ...]
    slate: bool
    now: float


@dataclass(frozen=True)
class History:
    reads: tuple[Read, ...]
    rules: SessionRules
    is_trainable: bool


@dataclass(frozen=True)
class Outcome:
    examples: tuple[Example, ...]
    tally: Counter[tuple[str, str]]


def joined(position: int, is_trainable: bool) -> Joined:
    """Positions differ in their one-hot item factor, so that sums keep them apart."""
    return Joined(
        served_at=ISSUED,
        placement="home",
        variant="learnt",
        policy="ts",
        model="home/abc" if is_trainable else "",
        unit=NOBODY,
        item_id=f"i{position}",
        context_factor=np.array([0.5, -1.5], dtype=np.float32),
        item_factor=np.eye(POSITIONS, dtype=np.float32)[position - 1],
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    rules = SessionRules(
        gap_s=draw(st.sampled_from([2.0, 50.0])),
        max_s=draw(st.sampled_from([20.0, 100.0])),
        reward_window_s=draw(st.sampled_from([20.0, 60.0])),
        allowed_lateness_s=draw(st.sampled_from([0.5, 80.0])),
    )
    is_trainable = draw(st.sampled_from([True, True, True, False]))
    events = [
        Event(
            receipt_id=number.to_bytes(16, "big"),
            request_id=REQUEST,
            position=(position := draw(st.integers(1, POSITIONS))),
            type=draw(st.sampled_from(["impression", "click", "click", "conversion", "scroll"])),
            received_at=ISSUED + draw(st.integers(0, 30)),
            value=draw(st.sampled_from([None, None, 2.0, -3.5])),
            event_id=draw(st.sampled_from(["", "", "a", "b"])),
            delivery=joined(position, is_trainable) if draw(st.integers(0, 9)) else None,
        )
        for number in range(draw(st.integers(0, 10)))
    ]
    reads = draw(st.lists(st.sampled_from(events), max_size=8)) if events else []
    mixed = draw(st.permutations(events + reads))
    if draw(st.booleans()):  # half of the histories come nearly in order, as they do in life
        mixed = sorted(mixed, key=lambda event: event.received_at + event.receipt_id[-1] % 3)
    cuts = sorted(draw(st.lists(st.integers(0, len(mixed)), max_size=6)))
    nows = sorted(draw(st.lists(st.integers(0, 100), min_size=len(cuts), max_size=len(cuts))))
    slates = draw(st.lists(st.booleans(), min_size=len(cuts), max_size=len(cuts)))
    bounds = list(zip([0, *cuts], [*cuts, len(mixed)], strict=True))
    parts = [
        Read(tuple(mixed[a:b]), slate, ISSUED + now)
        for (a, b), slate, now in zip(bounds, [*slates, draw(st.booleans())], [*nows, math.inf], strict=True)
    ]
    return History(tuple(parts), rules, is_trainable)


def run(history: History) -> Outcome:
    """Fold a history as the trainer does, its state stored as bytes in between."""
    examples: list[Example] = []
    tally: Counter[tuple[str, str]] = Counter()
    state = SlateState(REQUEST)
    slate = SlateRead(POSITIONS, history.is_trainable)
    watermark = -math.inf
    for read in history.reads:
        closed_before = watermark - history.rules.reward_window_s - history.rules.allowed_lateness_s
        arguments = (slate if read.slate else None, read.events, read.now, history.rules, REWARDS, closed_before)
        fold = fold_slate(state, *arguments)
        examples += fold.examples
        tally.update(fold.tally)
        state = SlateState(REQUEST) if fold.state is None else decode_state(encode_state(fold.state))
        watermark = read.now
    assert fold.state is None
    return Outcome(tuple(examples), tally)


def accepted(history: History) -> dict[int, list[Event]]:
    """By position, the events that count: the rules of DESIGN.md once more, in the plainest words."""
    counted: dict[int, list[Event]] = {}
    receipts = set()
    window_ends = ISSUED + history.rules.reward_window_s
    is_over = False
    for read in history.reads:
        for event in sorted(read.events, key=lambda event: (event.received_at, event.receipt_id)):
            if event.receipt_id in receipts:
                continue
            receipts.add(event.receipt_id)
            if event.delivery is None or is_over or event.received_at > window_ends:
                continue
            before = counted.setdefault(event.position, [])
            alike = [other for other in before if other.type == event.type and other.event_id == event.event_id]
            if not alike or (event.event_id == "" and event.type in ("conversion", "scroll")):
                before.append(event)
        is_over = is_over or window_ends + history.rules.allowed_lateness_s <= read.now
    return {position: events for position, events in counted.items() if events}


def reward(events: list[Event]) -> float:
    total = 0.0
    for kind, weight in WEIGHTS.items():
        of_kind = sorted((e for e in events if e.type == kind), key=lambda e: (e.received_at, e.receipt_id))
        if kind == "conversion":
            total += sum(weight * (1.0 if e.value is None else e.value) for e in of_kind)
        elif of_kind:
            total += weight
    return total


@settings(max_examples=150)
@given(histories())
def test_what_is_learnt_equals_brute_force_over_the_accepted_events(history: History) -> None:
    counted = accepted(history) if history.is_trainable else {}
    examples = run(history).examples
    note(f"{sum(example.before is not None for example in examples)} corrections")
    new = [example.delivery.item_id for example in examples if example.before is None]
    assert sorted(new) == sorted(f"i{position}" for position in counted)
    if not counted:
        assert not examples
        return
    sums = summarise(examples)
    x = np.zeros((len(counted), POSITIONS * 3))
    for row, position in enumerate(counted):
        for block, factor in enumerate((1.0, 0.5, -1.5)):
            x[row, block * POSITIONS + position - 1] = factor
    y = {
        "click": np.array([float(any(e.type == "click" for e in events)) for events in counted.values()]),
        "reward": np.array([reward(events) for events in counted.values()]),
    }
    assert sums.precision == pytest.approx(x.T @ x)
    for name, outcome in y.items():
        assert sums.outcomes[name].moment == pytest.approx(x.T @ outcome, abs=1e-9)
        assert sums.outcomes[name].energy == pytest.approx(outcome @ outcome, abs=1e-9)
    assert (sums.weight, sums.examples) == (len(counted), len(counted))


@settings(max_examples=100)
@given(histories())
def test_every_event_and_delivery_ends_in_exactly_one_state(history: History) -> None:
    tally = run(history).tally
    for side, total in ((EVENTS, RECEIVED), (DELIVERIES, SERVED)):
        ends = {name: n for (of, name), n in tally.items() if of == side and name not in (total, REDELIVERED)}
        assert sum(ends.values()) == tally[side, total]
    assert tally[EVENTS, RECEIVED] + tally[EVENTS, REDELIVERED] == sum(len(read.events) for read in history.reads)
    if any(read.slate for read in history.reads):
        assert min((n for (of, _), n in tally.items() if of == DELIVERIES), default=0) >= 0


@settings(max_examples=100)
@given(histories(), st.data())
def test_redelivering_what_was_read_before_changes_nothing_but_the_count_of_it(history: History, data) -> None:
    window = history.rules.reward_window_s + history.rules.allowed_lateness_s
    # What was given up is forgotten, and with it what was read of it; until then nothing may be counted twice.
    history = replace(history, reads=tuple(r for r in history.reads if r.now < ISSUED + window or math.isinf(r.now)))
    reads = list(history.reads)
    at = data.draw(st.integers(0, len(reads) - 1), label="read that repeats what came before it")
    earlier = [event for read in reads[:at] for event in read.events]
    prefix = earlier[: data.draw(st.integers(0, len(earlier)), label="length of the prefix")]
    was_served = any(read.slate for read in reads[:at])
    reads[at] = replace(reads[at], events=(*reads[at].events, *prefix), slate=reads[at].slate or was_served)
    once, again = run(history), run(replace(history, reads=tuple(reads)))
    for tally in (once.tally, again.tally):
        del tally[EVENTS, REDELIVERED], tally[DELIVERIES, REDELIVERED]
    assert +again.tally == +once.tally
    assert [(e.outcomes, e.before, e.weight, e.at) for e in again.examples] == [
        (e.outcomes, e.before, e.weight, e.at) for e in once.examples
    ]
