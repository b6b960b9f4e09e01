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
from omakase.core.events import EXCLUSION, Event, Joined
from omakase.core.folding import fold_slate
from omakase.core.ids import NOBODY, RequestId
from omakase.core.posterior import Statistics
from omakase.core.rewards import RewardTable
from omakase.core.sessions import Example, SessionRules, SlateRead, SlateState
from omakase.core.training import summarise
from omakase.states import decode_state, encode_state
from tests.plain_sums import Sums
from tests.property.reference import Reference

POSITIONS = 2
MODEL = "home/abc"
HALF_LIFE_S = 40.0
WEIGHTS = {"impression": -0.25, "click": 1.0, "conversion": 0.5, "scroll": 0.125}
REWARDS = {how: {"home": RewardTable(WEIGHTS, combination=how)} for how in ("sum", "max", "first", "last")}


@dataclass(frozen=True)
class Read:
    """What one fold is given. `slate`: the slate's record is among it."""

    events: tuple[Event, ...]
    slate: bool
    now: float


@dataclass(frozen=True)
class History:
    """Of one slate."""

    issued: float
    reads: tuple[Read, ...]
    rules: SessionRules
    is_trainable: bool
    combination: str

    @property
    def request_id(self) -> RequestId:
        return request_id(self.issued)

    @property
    def ends_at(self) -> float:
        return self.issued + self.rules.reward_window_s


@dataclass(frozen=True)
class Outcome:
    examples: tuple[Example, ...]
    tally: Counter[tuple[str, str]]


def request_id(issued: float) -> RequestId:
    return RequestId(int(issued * 1000).to_bytes(6, "big") + bytes(10))


def joined(issued: float, position: int, is_trainable: bool) -> Joined:
    """Positions differ in their one-hot item factor, so that sums keep them apart."""
    return Joined(
        served_at=issued,
        placement="home",
        variant="learnt",
        policy="ts",
        model=MODEL if is_trainable else "",
        unit=NOBODY,
        item_id=f"i{position}",
        context_factor=np.array([0.5, -1.5], dtype=np.float32),
        item_factor=np.eye(POSITIONS, dtype=np.float32)[position - 1],
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    issued = 1000.0 + draw(st.integers(0, 100))
    rules = SessionRules(
        gap_s=draw(st.sampled_from([2.0, 50.0])),
        max_s=draw(st.sampled_from([20.0, 100.0])),
        reward_window_s=draw(st.sampled_from([20.0, 60.0])),
        allowed_lateness_s=draw(st.sampled_from([0.5, 80.0])),
    )
    is_trainable = draw(st.sampled_from([True, True, True, False]))
    events = [draw(_events(number, issued, is_trainable)) for number in range(draw(st.integers(0, 10)))]
    reads = draw(st.lists(st.sampled_from(events), max_size=8)) if events else []
    mixed = draw(st.permutations(events + reads))
    if draw(st.booleans()):  # half of the histories come nearly in order, as they do in life
        mixed = sorted(mixed, key=lambda event: event.received_at + event.receipt_id[-1] % 3)
    cuts = sorted(draw(st.lists(st.integers(0, len(mixed)), max_size=6)))
    nows = sorted(draw(st.lists(st.integers(0, 100), min_size=len(cuts), max_size=len(cuts))))
    slates = draw(st.lists(st.booleans(), min_size=len(cuts), max_size=len(cuts)))
    bounds = list(zip([0, *cuts], [*cuts, len(mixed)], strict=True))
    parts = [
        Read(tuple(mixed[a:b]), slate, issued + now)
        for (a, b), slate, now in zip(bounds, [*slates, draw(st.booleans())], [*nows, math.inf], strict=True)
    ]
    return History(issued, tuple(parts), rules, is_trainable, draw(st.sampled_from(sorted(REWARDS))))


@st.composite
def _events(draw: st.DrawFn, number: int, issued: float, is_trainable: bool) -> Event:
    position = draw(st.integers(1, POSITIONS))
    kinds = ["impression", "impression", "click", "click", "conversion", "return", "scroll"]
    kind = draw(st.sampled_from(kinds * 3 + [EXCLUSION]))
    return Event(
        receipt_id=number.to_bytes(16, "big"),
        request_id=request_id(issued),
        position=position,
        type=kind,
        received_at=issued + draw(st.integers(0, 30)),
        value=draw(st.sampled_from([None, None, 2.0, -3.5])),
        event_id=draw(st.sampled_from(["", "", "a", "b"])),
        delivery=joined(issued, position, is_trainable) if draw(st.integers(0, 9)) else None,
        unwanted="bot" if kind == EXCLUSION or draw(st.integers(0, 19)) == 19 else "",
    )


def run(history: History) -> Outcome:
    """Fold a history as the trainer does, its state stored as bytes in between."""
    examples: list[Example] = []
    tally: Counter[tuple[str, str]] = Counter()
    state = SlateState(history.request_id)
    slate = SlateRead(POSITIONS, history.is_trainable)
    watermark = -math.inf
    for read in history.reads:
        closed_before = watermark - history.rules.reward_window_s - history.rules.allowed_lateness_s
        rewards = REWARDS[history.combination]
        arguments = (slate if read.slate else None, read.events, read.now, history.rules, rewards, closed_before)
        fold = fold_slate(state, *arguments)
        examples += fold.examples
        tally.update(fold.tally)
        state = SlateState(history.request_id) if fold.state is None else decode_state(encode_state(fold.state))
        watermark = read.now
    assert fold.state is None
    return Outcome(tuple(examples), tally)


def read_in_time(history: History) -> list[Event]:
    """In the order they were read; what is read once the watermark has passed window and lateness is too late."""
    events: list[Event] = []
    for read in history.reads:
        events += sorted(read.events, key=lambda event: (event.received_at, event.receipt_id))
        if history.ends_at + history.rules.allowed_lateness_s <= read.now:
            break
    return events


@settings(max_examples=150)
@given(st.lists(histories(), min_size=1, max_size=3, unique_by=lambda history: history.issued))
def test_what_is_learnt_equals_brute_force_over_the_accepted_events(several: list[History]) -> None:
    as_of = 1200.0
    wanted = Sums.empty(POSITIONS * 3)
    found = Statistics.empty(POSITIONS * 3)
    for history in several:
        window_s, half_lives = history.rules.reward_window_s, {MODEL: HALF_LIFE_S}
        plain = Reference(window_s, WEIGHTS, frozenset({MODEL}), half_lives, history.combination)
        for sums in plain.sums(read_in_time(history), as_of).values():
            wanted.merge(sums)
        if examples := run(history).examples:
            note(f"{sum(example.before is not None for example in examples)} corrections and retractions")
            found += summarise(examples, HALF_LIFE_S)
    assert found.examples == wanted.examples
    found = found.aged(as_of)
    assert found.weight == pytest.approx(wanted.weight, abs=1e-9)
    np.testing.assert_allclose(found.precision, wanted.precision, atol=1e-9)
    for name, outcome in found.outcomes.items():
        np.testing.assert_allclose(outcome.moment, wanted.moments[name], atol=1e-9)
        assert outcome.energy == pytest.approx(wanted.energies[name], abs=1e-9)


@settings(max_examples=100)
@given(histories())
def test_every_event_and_delivery_ends_in_exactly_one_state(history: History) -> None:
    tally = run(history).tally
    for side, total in ((EVENTS, RECEIVED), (DELIVERIES, SERVED)):
        ends = {name: n for (of, name), n in tally.items() if of == side and name not in (total, REDELIVERED)}
        assert sum(ends.values()) == tally[side, total]
    read = [event for read in history.reads for event in read.events if event.type != EXCLUSION]
    assert tally[EVENTS, RECEIVED] + tally[EVENTS, REDELIVERED] == len(read)
    if any(read.slate for read in history.reads):
        assert min((n for (of, _), n in tally.items() if of == DELIVERIES), default=0) >= 0


@settings(max_examples=100)
@given(histories(), st.data())
def test_redelivering_what_was_read_before_changes_nothing_but_the_count_of_it(history: History, data) -> None:
    over_at = history.ends_at + history.rules.allowed_lateness_s
    # What was given up is forgotten, and with it what was read of it; until then nothing may be counted twice.
    history = replace(history, reads=tuple(r for r in history.reads if r.now < over_at or math.isinf(r.now)))
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
