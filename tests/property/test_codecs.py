"""What is written is what is read: delivery ids, bus bodies, training state."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from omakase.core.errors import Corrupt, InvalidDeliveryId
from omakase.core.events import MAX_VALUE, Event, Joined
from omakase.core.ids import NOBODY, DeliveryId, Keyring, Pseudonym, RequestId, issued_at, new_request_id
from omakase.core.propensities import Propensities, SlatePropensities
from omakase.core.sessions import DeliveryState, Learnt, Seen, SlateState
from omakase.core.slates import Delivery, Shown, Slate, Stamped
from omakase.states import decode_state, encode_state
from omakase.v1 import events_pb2
from omakase.wire import (
    RecordedSlate,
    bus_body,
    bus_body_of_event,
    bus_body_of_slate,
    decode_bus_body,
    decode_event,
    decode_propensities,
    decode_slate,
    encode_event,
    encode_propensities,
    encode_slate,
    is_propensities,
    request_id_of,
)
from omakase.wire.slates import slate_message

RING = Keyring({1: b"a" * 32, 7: b"b" * 32}, 7, b"p" * 32)

TEXTS = st.text(max_size=12)
TIMES = st.floats(0, 4e9)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
OPTIONAL = st.none() | NUMBERS
FACTORS = st.integers(0, 5).flatmap(lambda n: arrays.arrays(np.float32, n, elements=st.floats(-1e6, 1e6, width=32)))
VALUES = (
    TEXTS | st.booleans() | NUMBERS | st.lists(TEXTS, max_size=3).map(tuple) | st.lists(NUMBERS, max_size=3).map(tuple)
)
FACTS = st.dictionaries(TEXTS, VALUES, max_size=4)
REQUEST_IDS = st.binary(min_size=16, max_size=16).map(RequestId)
JOINED = st.builds(
    Joined,
    served_at=TIMES,
    placement=TEXTS,
    variant=TEXTS,
    policy=TEXTS,
    model=TEXTS,
    unit=TEXTS.map(Pseudonym),
    item_id=TEXTS,
    context_factor=FACTORS,
    item_factor=FACTORS,
    predicted_click=OPTIONAL,
)
EVENTS = st.builds(
    Event,
    receipt_id=st.binary(min_size=16, max_size=16),
    request_id=REQUEST_IDS,
    position=st.integers(1, 255),
    type=TEXTS,
    received_at=TIMES,
    value=st.none() | st.floats(-MAX_VALUE, MAX_VALUE),
    event_id=TEXTS,
    occurred_at=OPTIONAL,
    delivery=st.none() | JOINED,
)


@st.composite
def slates(draw: st.DrawFn) -> Slate:
    deliveries = tuple(
        Delivery(
            position=position,
            item_id=draw(TEXTS),
            delivery_id=draw(TEXTS),
            score=draw(NUMBERS),
            predicted_click=draw(OPTIONAL),
            expected_value=draw(OPTIONAL),
            propensity=draw(OPTIONAL),
            item_factor=draw(FACTORS),
            metadata=draw(FACTS),
        )
        for position in range(1, draw(st.integers(0, 3)) + 1)
    )
    return Slate(
        request_id=draw(REQUEST_IDS),
        served_at=draw(TIMES),
        placement=draw(TEXTS),
        variant=draw(TEXTS),
        policy=draw(TEXTS),
        model=draw(TEXTS),
        model_version=draw(TEXTS),
        catalogue_generation=draw(st.integers(0, 2**63 - 1)),
        unit=Pseudonym(draw(TEXTS)),
        user=Pseudonym(draw(TEXTS)),
        context=draw(FACTS),
        context_factor=draw(FACTORS),
        deliveries=deliveries,
        fallback=draw(st.booleans()),
        experiment=draw(TEXTS),
        assigned_by=draw(TEXTS),
        shadow=draw(st.booleans()),
        trace=draw(TEXTS),
    )


@st.composite
def columns(draw: st.DrawFn) -> Stamped:
    k = draw(st.integers(0, 12))

    def column() -> list[float] | None:
        return draw(st.none() | st.lists(NUMBERS, min_size=k, max_size=k))

    shown = [Shown(draw(TEXTS), draw(FACTORS), draw(FACTS), draw(OPTIONAL)) for _ in range(k)]
    ids = draw(st.lists(TEXTS, min_size=k, max_size=k))
    scores = draw(st.lists(NUMBERS, min_size=k, max_size=k))
    shares = draw(st.none() | st.lists(st.floats(0.01, 1), min_size=k, max_size=k))
    return Stamped(shown, ids, scores, column(), column(), shares)


@settings(max_examples=60)
@given(slates(), columns())
def test_a_slate_kept_as_columns_is_written_as_its_rows_are(slate, stamped):
    by_columns, by_rows = replace(slate, deliveries=stamped), replace(slate, deliveries=tuple(stamped))
    assert events_pb2.Slate.FromString(encode_slate(by_columns)) == slate_message(by_rows)


def same(a: object, b: object) -> bool:
    """Equality of records that hold arrays; 1.0 and True differ."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


@settings(max_examples=60)
@given(slates())
def test_slates_round_trip_alone_and_on_the_bus(slate: Slate) -> None:
    assert same(decode_slate(encode_slate(slate)), slate)
    assert same(decode_bus_body(bus_body(slate)), slate)


@given(EVENTS)
def test_events_round_trip_alone_and_on_the_bus(event: Event) -> None:
    assert same(decode_event(encode_event(event)), event)
    assert same(decode_bus_body(bus_body(event)), event)


@settings(max_examples=60)
@given(slates(), EVENTS, st.integers(0, 5))
def test_what_is_spliced_from_stored_bytes_reads_like_what_is_encoded(slate: Slate, event: Event, at: int) -> None:
    encoded = encode_slate(slate)
    assert same(decode_bus_body(bus_body_of_slate(encoded)), slate)
    event, joined = replace(event, delivery=None), RecordedSlate(encoded).joined(at)
    assert (joined is not None) == (1 <= at <= len(slate.deliveries))
    if joined is not None:
        whole = replace(event, delivery=Joined.of(slate, at))
        assert same(decode_bus_body(bus_body_of_event(event, joined)), whole)


COUNTS = st.tuples(st.floats(0, 1, exclude_min=True), st.integers(0, 2**32 - 1), st.integers(0, 9), st.booleans())


@given(REQUEST_IDS, st.lists(COUNTS, max_size=5))
def test_propensities_round_trip_alone_and_on_the_bus(request_id: RequestId, counts: list[tuple[float, ...]]) -> None:
    p, draws, occurrences, is_capped = np.array(counts, dtype=np.float64).reshape(-1, 4).T
    draws, occurrences = draws.astype(np.int64), np.minimum(occurrences, draws).astype(np.int64)
    record = SlatePropensities(request_id, Propensities(p, draws, occurrences, is_capped.astype(np.bool_)))
    encoded = encode_propensities(record)
    assert same(decode_propensities(encoded), record)
    assert same(decode_bus_body(encoded), record)
    assert request_id_of(encoded) == request_id


@settings(max_examples=60)
@given(slates(), EVENTS)
def test_propensities_are_told_from_slates_and_events_by_a_look(slate: Slate, event: Event) -> None:
    nothing = np.zeros(0)
    positions = Propensities(nothing, nothing.astype(np.int64), nothing.astype(np.int64), nothing.astype(np.bool_))
    assert is_propensities(encode_propensities(SlatePropensities(slate.request_id, positions)))
    assert not any(map(is_propensities, (encode_slate(slate), bus_body(slate), bus_body(event))))


@given(st.binary(max_size=60))
def test_any_other_bytes_are_a_record_or_corrupt(body: bytes) -> None:
    for decode in (decode_slate, decode_event, decode_propensities, decode_bus_body):
        with suppress(Corrupt):
            assert isinstance(decode(body), (Slate, Event, SlatePropensities))


@settings(max_examples=60)
@given(
    REQUEST_IDS,
    st.lists(EVENTS, min_size=1, max_size=3),
    JOINED,
    st.dictionaries(st.sampled_from(["click", "reward"]), NUMBERS),
    st.lists(st.binary(min_size=16, max_size=16), max_size=3),
)
def test_training_state_round_trips_as_far_as_the_fold_reads_it(request_id, events, joined, outcomes, repeats) -> None:
    seen = tuple(Seen(e.receipt_id, e.type, e.received_at, e.value, e.event_id) for e in events)
    states = {
        2: DeliveryState(seen, len(seen) - 1, tuple(repeats), joined, None),
        5: DeliveryState((), 0, tuple(repeats), None, Learnt(outcomes, 1.0, 3), excluded=True),
    }
    state = SlateState(request_id, 9, False, states)
    nameless = {2: replace(states[2], joined=replace(joined, unit=NOBODY)), 5: states[5]}
    assert same(decode_state(encode_state(state)), replace(state, deliveries=nameless))


@given(st.floats(0, 2**47 / 1000), st.binary(min_size=10, max_size=10), st.integers(1, 255))
def test_delivery_ids_round_trip_and_keep_their_time(now: float, random: bytes, position: int) -> None:
    request_id = new_request_id(now, lambda n: random[:n])
    assert issued_at(request_id) == pytest.approx(now, abs=0.001)
    text = RING.delivery_id(request_id, position)
    assert len(text) == 32
    assert RING.verify(text, now, 60.0) == DeliveryId(request_id, position)


@given(st.text(max_size=40) | st.from_regex(r"[A-Za-z0-9_-]{32}", fullmatch=True))
def test_no_text_that_was_not_issued_is_a_delivery_id(text: str) -> None:
    with pytest.raises(InvalidDeliveryId) as refused:
        RING.verify(text, 1e9, math.inf)
    assert refused.value.reason in ("malformed", "forged")


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_request_ids_sort_by_time(a: float, b: float) -> None:
    early, late = sorted([int(a * 1000), int(b * 1000)])
    if early < late:
        assert new_request_id(early / 1000 + 1e-4, lambda n: b"\xff" * n) < new_request_id(
            late / 1000 + 1e-4, lambda n: bytes(n)
        )
