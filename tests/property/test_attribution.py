"""Attribution against brute force, for any history of touches: through the real store and the real wire."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from omakase.adapters.local.touch_store import SqliteTouches
from omakase.core.events import Event
from omakase.core.ids import Pseudonym, RequestId
from omakase.core.slates import Delivery, Slate
from omakase.ports.orders import Order
from omakase.wire import RecordedSlate, encode_slate
from tracking.attribution import SKEW_S, attribute, touches_of

WINDOW_S = 300.0
ITEMS = ("shoe", "hat", "coat")
PEOPLE = ("", "anna", "ben", "a1")
FACTOR = np.ones(1, np.float32)


def slate(n: int, unit: str, user: str, items: tuple[str, ...]) -> Slate:
    deliveries = tuple(
        Delivery(position, item, "", 0.0, None, None, None, FACTOR, {}) for position, item in enumerate(items, start=1)
    )
    who = Pseudonym(unit), Pseudonym(user)
    request_id = RequestId(n.to_bytes(16, "big"))
    return Slate(request_id, float(n), f"p{n}", "v", "ts", "m/s", "m/s@1", 1, *who, {}, FACTOR, deliveries)


slates = st.builds(
    lambda unit, user, items: (unit, user, tuple(items)),
    st.sampled_from(PEOPLE),
    st.sampled_from(PEOPLE),
    st.permutations(ITEMS),
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Slate], list[list[Event]]]:
    """Slates, and their events in rounds as the intake stores them. No two events are of one moment."""
    shown = [slate(n, *drawn) for n, drawn in enumerate(draw(st.lists(slates, min_size=1, max_size=4)))]
    moments = draw(st.lists(st.integers(0, 1000), unique=True, max_size=12))
    events = [
        Event(
            receipt_id=number.to_bytes(16, "big"),
            request_id=draw(st.sampled_from(shown)).request_id,
            position=draw(st.integers(1, len(ITEMS) + 1)),  # one that no slate has among them
            type=draw(st.sampled_from(["impression", "impression", "click", "like"])),
            received_at=float(at),
            unwanted=draw(st.sampled_from(["", "", "", "bot"])),
        )
        for number, at in enumerate(moments)
    ]
    # A browser's post: an impression and its click at one moment.
    events += [
        replace(event, receipt_id=bytes([1]) + event.receipt_id[1:], type="click")
        for event in events
        if event.type == "impression" and draw(st.booleans())
    ]
    cut = draw(st.integers(0, len(events)))
    return shown, [events[:cut], events[cut:]]


@settings(max_examples=150, deadline=None)
@given(histories(), st.sampled_from(ITEMS), st.sets(st.sampled_from(PEOPLE[1:]), min_size=1), st.integers(0, 1200))
def test_an_order_goes_where_brute_force_sends_it(history, item, people, occurred_at) -> None:
    shown, rounds = history
    order = Order(bytes(16), bytes(16), "conversion", tuple(people), item, 1.0, occurred_at, 2000.0)
    recorded = {each.request_id: RecordedSlate(encode_slate(each)) for each in shown}
    with tempfile.TemporaryDirectory() as directory:
        touches = SqliteTouches(Path(directory) / "touches.db")
        for events in rounds:
            touches.note(touches_of(events, recorded))
        credit = attribute(order, touches, WINDOW_S)
    by_id = {each.request_id: each for each in shown}

    def counts(event: Event) -> bool:
        of = by_id[event.request_id]
        return (
            not event.unwanted
            and event.position <= len(ITEMS)
            and of.deliveries[event.position - 1].item_id == item
            and bool({of.unit, of.user} & people)
            and occurred_at - WINDOW_S <= event.received_at <= occurred_at + SKEW_S
        )

    candidates = [event for events in rounds for event in events if counts(event)]
    last = {
        kind: max((e for e in candidates if e.type == kind), key=lambda e: e.received_at, default=None)
        for kind in ("click", "impression")
    }
    expected = last["click"] or last["impression"]
    if expected is None:
        assert credit.position == 0
        return
    assert (credit.request_id, credit.position) == (expected.request_id, expected.position)
    of = by_id[expected.request_id]
    assert (credit.placement, credit.served_at, credit.unit) == (of.placement, of.served_at, of.unit)
