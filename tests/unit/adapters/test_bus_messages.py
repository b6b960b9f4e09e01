"""Bus messages as Pub/Sub carries them."""

from __future__ import annotations

from datetime import datetime

import pytest
from google.pubsub_v1.types import PubsubMessage
from hypothesis import given
from hypothesis import strategies as st

from omakase.adapters.gcp.pubsub.bus_messages import disclose, enclose
from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.events import CLICK, Event
from omakase.core.ids import RequestId, text_of
from omakase.ports.event_bus import Message

KINDS = st.sampled_from(["deliveries", "events", "propensities", "discards"])
MICROSECONDS = st.integers(0, 4_000_000_000_000_000)


@given(st.binary(min_size=16, max_size=16), MICROSECONDS, st.binary(), KINDS, st.integers(0, 255))
def test_a_message_arrives_as_it_was_sent_to_the_microsecond(key, at_us, body, kind, units):
    message = Message(key, at_us / 1e6, body, kind, units)
    assert disclose(enclose(message)) == message


def test_an_event_shows_what_a_filter_may_ask_for():
    event = Event(b"r" * 16, RequestId(b"q" * 16), 3, CLICK, 1_700_000_000.25, occurred_at=1_699_999_999.5)
    attributes = enclose(Message(event.receipt_id, event.received_at, b"body", event=event)).attributes
    assert dict(attributes) == {
        "key": "72" * 16,
        "kind": "events",
        "units": "1",
        "received_at": "2023-11-14T22:13:20.250000Z",
        "type": "click",
        "request_id": text_of(event.request_id),
        "position": "3",
        "occurred_at": "2023-11-14T22:13:19.500000Z",
    }


def test_an_event_that_does_not_say_when_it_occurred_shows_nothing_of_it():
    event = Event(b"r" * 16, RequestId(b"q" * 16), 3, CLICK, 1_700_000_000.25)
    assert "occurred_at" not in enclose(Message(event.receipt_id, event.received_at, b"", event=event)).attributes


def test_when_it_was_received_reads_as_one_time_whatever_reads_it():
    bare = enclose(Message(b"k" * 16, 1_700_000_000.25, b"body"))
    assert datetime.fromisoformat(bare.attributes["received_at"]).timestamp() == 1_700_000_000.25


@pytest.mark.parametrize(("key", "body"), [(b"short", b""), (b"k" * 16, bytes(9_000_001))])
def test_what_no_bus_takes_is_refused(key, body):
    with pytest.raises(InvalidInput):
        enclose(Message(key, 1.0, body))


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": "zz"},
        {"key": "00"},
        {"kind": "letters"},
        {"units": "many"},
        {"received_at": "yesterday"},
        {"units": None},
        {"units": "-1"},
        {"units": "99999999999999999999"},
    ],
)
def test_what_was_never_ours_is_corrupt(wrong):
    ours = dict(enclose(Message(b"k" * 16, 1.0, b"body")).attributes)
    attributes = {name: value for name, value in (ours | wrong).items() if value is not None}
    with pytest.raises(Corrupt):
        disclose(PubsubMessage.pb()(data=b"body", attributes=attributes))
