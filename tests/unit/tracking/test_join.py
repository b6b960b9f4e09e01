"""What tracking hands to the bus."""

from __future__ import annotations

from omakase.core.events import CLICK, Event
from omakase.core.ids import RequestId
from tracking.join import event_message


def test_the_bus_gets_the_event_beside_its_bytes_so_that_it_need_not_decode_them():
    event = Event(b"r" * 16, RequestId(b"q" * 16), 3, CLICK, 1_700_000_000.25)
    assert event_message(event, None).event is event
