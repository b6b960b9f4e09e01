"""Event histories of several slates: what people did, when it was received, and how late it was read.

Within these bounds no order of reading may change what is learnt:

- What is received in a slate's window is read within the allowed lateness. Later than that the slate is over, and how
  far the watermark had come by then decides.
- Events that are each other's duplicates carry the same value: which of them is read first is the one that counts.
- Conversions and returns have an `event_id`, as tracking demands.
- A delivery has fewer events than the fold remembers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from hypothesis import strategies as st

from omakase.core.events import Event, Joined
from omakase.core.ids import NOBODY, RequestId
from omakase.core.item_learner import PerItemLearner
from omakase.core.learners import Learner, LinearLearner
from omakase.core.sessions import SessionRules
from omakase.core.slates import Delivery, Slate

START = 1_760_000_000.0
POSITIONS = 2
CONVERTING, PLAIN = "home/abc", "basket/xyz"
WEIGHTS = {"impression": -0.25, "click": 1.0, "conversion": 0.5, "scroll": 0.125}
# Of conversions and returns, by type and event id.
Values: TypeAlias = dict[tuple[str, str], float | None]

_CONTEXT = np.array([0.5, -1.5], np.float32)


@dataclass(frozen=True)
class Reading:
    """A record, when it was received, and when it was read."""

    record: Event | Slate
    received_at: float
    read_at: float


@dataclass(frozen=True)
class History:
    """Readings in the order they were read. `half_lives` are in seconds, by model."""

    rules: SessionRules
    half_lives: dict[str, float]
    readings: tuple[Reading, ...]
    by_item: frozenset[str] = frozenset()

    @property
    def learners(self) -> dict[str, Learner]:
        """`by_item` are the models that learn by item."""
        learners: dict[str, Learner] = {}
        for model in (CONVERTING, PLAIN):
            kind = PerItemLearner if model in self.by_item else LinearLearner
            learners[model] = kind(_CONTEXT.size, 2, half_life_s=self.half_lives.get(model, math.inf))
        return learners

    @property
    def events(self) -> list[Event]:
        return [reading.record for reading in self.readings if isinstance(reading.record, Event)]

    def cut(self, times: list[float]) -> list[tuple[float, list[Reading]]]:
        """What was read up to each time; the last is that of the last reading."""
        ends = sorted({*times, self.readings[-1].read_at})
        starts = [-1.0, *ends]
        return [
            (end, [one for one in self.readings if start < one.read_at <= end])
            for start, end in zip(starts, ends, strict=False)
        ]


@st.composite
def histories(draw: st.DrawFn, max_slates: int = 6) -> History:
    rules = SessionRules(
        gap_s=draw(st.sampled_from([2.0, 5.0, 30.0])),
        max_s=draw(st.sampled_from([10.0, 100.0])),
        reward_window_s=draw(st.sampled_from([20.0, 60.0])),
        allowed_lateness_s=draw(st.sampled_from([5.0, 80.0])),
    )
    half_lives = {model: 30.0 for model in (CONVERTING, PLAIN) if draw(st.booleans())}
    readings = [
        reading for number in range(draw(st.integers(1, max_slates))) for reading in draw(_of_slate(number, rules))
    ]
    by_item = frozenset(model for model in (CONVERTING, PLAIN) if draw(st.booleans()))
    return History(rules, half_lives, tuple(sorted(readings, key=lambda reading: reading.read_at)), by_item)


@st.composite
def times(draw: st.DrawFn, history: History, most: int) -> list[float]:
    last = history.readings[-1].read_at
    tenths = draw(st.lists(st.integers(1, round((last - START) * 10)), max_size=most))
    return [START + number / 10 for number in tenths if START + number / 10 < last]


@st.composite
def _of_slate(draw: st.DrawFn, number: int, rules: SessionRules) -> list[Reading]:
    issued = START + draw(st.integers(0, 400)) / 10
    model = draw(st.sampled_from([CONVERTING, CONVERTING, PLAIN, ""]))
    slate = _slate(number, issued, model, draw(st.sampled_from(["home", "home", "elsewhere"])))
    served_at = issued + draw(st.integers(0, 30)) / 10
    readings = [] if draw(st.integers(0, 9)) == 9 else [_read(draw, slate, served_at, rules)]
    values = {named: draw(st.sampled_from([None, 2.0, -3.5])) for named in product(("conversion", "return"), "ab")}
    window = round(rules.reward_window_s * 10)
    for nth in range(draw(st.integers(0, 8))):
        late = draw(st.integers(0, 9)) == 9
        received_at = issued + draw(st.integers(window + 1, window + 100) if late else st.integers(0, window)) / 10
        event = _event(draw, slate, number * 100 + nth, received_at, values)
        readings.append(_read(draw, event, received_at, rules))
        if not late and draw(st.integers(0, 4)) == 4:
            readings.append(_read(draw, event, received_at, rules))
    return readings or [_read(draw, slate, served_at, rules)]


def _read(draw: st.DrawFn, record: Event | Slate, received_at: float, rules: SessionRules) -> Reading:
    most = min(rules.allowed_lateness_s - 3.1, 30.0)  # a slate's record is received up to 3 s after it was issued
    late_s = draw(st.sampled_from([0.1, 0.1, 0.3, most / 3, most]))
    return Reading(record, received_at, round(received_at + late_s, 1))


def _slate(number: int, issued: float, model: str, placement: str) -> Slate:
    request_id = RequestId(round(issued * 1000).to_bytes(6, "big") + number.to_bytes(10, "big"))
    deliveries = tuple(
        Delivery(at + 1, f"i{at}", "", 0.0, None, None, None, np.array([1.0, at - number / 4], np.float32), {})
        for at in range(POSITIONS)
    )
    facts = (model, f"{model}@0", 0, NOBODY, NOBODY, {}, _CONTEXT)
    return Slate(request_id, issued, placement, "learnt", "ts", *facts, deliveries)


def _event(draw: st.DrawFn, slate: Slate, receipt: int, at: float, values: Values) -> Event:
    position = draw(st.integers(1, POSITIONS))
    kind = draw(st.sampled_from(["impression", "impression", "click", "conversion", "return", "scroll"]))
    event_id = draw(st.sampled_from("ab" if kind in ("conversion", "return") else ["", "", "a"]))
    return Event(
        receipt_id=receipt.to_bytes(16, "big"),
        request_id=slate.request_id,
        position=position,
        type=kind,
        received_at=at,
        value=values.get((kind, event_id)),
        event_id=event_id,
        delivery=Joined.of(slate, position) if draw(st.integers(0, 19)) else None,
        unwanted="bot" if draw(st.integers(0, 19)) == 19 else "",
    )
