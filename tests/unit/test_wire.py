"""The wire: what it refuses to read. That it reads what it wrote: tests/property/test_codecs.py."""

from __future__ import annotations

import numpy as np
import pytest

from omakase.core.errors import Corrupt
from omakase.core.ids import RequestId
from omakase.core.sessions import Discarded, SlateRead
from omakase.v1 import events_pb2 as pb
from omakase.v1 import values_pb2
from omakase.wire import (
    SpooledPropensities,
    SpooledSlate,
    bus_body_of_slate,
    decode_bus_body,
    decode_discarded,
    decode_event,
    decode_factor,
    decode_for_training,
    decode_slate,
    encode_discarded,
    encode_factor,
    is_discarded,
    is_propensities,
)


def slate(**changes: object) -> bytes:
    return pb.Slate(**{"request_id": bytes(16), **changes}).SerializeToString()


def event(**changes: object) -> bytes:
    return pb.Event(**{"request_id": bytes(16), "receipt_id": bytes(16), "position": 1, **changes}).SerializeToString()


def test_a_factor_is_little_endian_float32() -> None:
    packed = encode_factor(np.array([1.0, -2.0], dtype=np.float32))
    assert packed == bytes.fromhex("0000803f000000c0")
    assert decode_factor(packed).tolist() == [1.0, -2.0]


@pytest.mark.parametrize("packed", [b"abc", b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f"])
def test_a_factor_of_torn_or_impossible_numbers_is_corrupt(packed: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_factor(packed)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        slate(request_id=b"short"),
        slate(deliveries=[pb.Delivery(position=2)]),
        slate(deliveries=[pb.Delivery(position=1), pb.Delivery(position=1)]),
        slate(deliveries=[pb.Delivery(position=i) for i in range(1, 257)]),
        slate(context_factor=b"abc"),
        slate(deliveries=[pb.Delivery(position=1, item_factor=b"abc")]),
        slate(context={"empty": values_pb2.Value()}),
    ],
)
def test_a_slate_that_could_not_have_been_served_is_corrupt(body: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_slate(body)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        event(request_id=b"short"),
        event(receipt_id=b""),
        event(value=float("nan")),
        event(value=1e300),
        event(received_at=float("inf")),
        event(delivery=pb.Joined(item_factor=b"abc")),
    ],
)
def test_an_event_that_could_not_have_been_accepted_is_corrupt(body: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_event(body)


def test_a_bus_message_without_a_record_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="holds no slate"):
        decode_bus_body(b"")


def test_training_reads_of_a_slate_how_many_it_showed_and_whether_they_are_learnt_from() -> None:
    shown = [pb.Delivery(position=i) for i in (1, 2, 3)]
    assert decode_for_training(bus_body_of_slate(slate(deliveries=shown, model="home/abc"))) == SlateRead(3, True)
    assert decode_for_training(bus_body_of_slate(slate(deliveries=shown))) == SlateRead(3, False)


def test_what_is_discarded_is_told_from_all_else_by_a_look_and_read_back() -> None:
    record = Discarded(RequestId(bytes(range(16))))
    body = encode_discarded(record)
    assert is_discarded(body)
    assert not is_propensities(body)
    assert not is_discarded(slate())
    assert not is_discarded(bus_body_of_slate(slate()))
    assert decode_discarded(body) == decode_bus_body(body) == decode_for_training(body) == record
    with pytest.raises(Corrupt, match="16 bytes"):
        decode_discarded(encode_discarded(Discarded(RequestId(b"short"))))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        bus_body_of_slate(slate(request_id=b"short")),
        bus_body_of_slate(slate(deliveries=[pb.Delivery(position=2)])),
        bus_body_of_slate(slate(deliveries=[pb.Delivery(position=i) for i in range(1, 257)])),
    ],
)
def test_training_refuses_a_slate_whose_deliveries_it_could_not_count(body: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_for_training(body)


def test_a_spooled_slate_tells_by_what_it_is_kept_and_keeps_its_bytes() -> None:
    shown = [pb.Delivery(position=1), pb.Delivery(position=2)]
    body = slate(served_at=5.0, unit="tablet", user="ada", deliveries=shown)
    assert SpooledSlate.of(body) == SpooledSlate(body, RequestId(bytes(16)), 5.0, "tablet", "ada", 2)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        slate(request_id=b"short"),
        slate(deliveries=[pb.Delivery(position=2)]),
        slate(served_at=-1.0),
        slate(served_at=1e11),
        slate(served_at=float("nan")),
    ],
)
def test_a_spooled_slate_that_could_not_have_been_served_is_corrupt(body: bytes) -> None:
    with pytest.raises(Corrupt):
        SpooledSlate.of(body)


def test_spooled_propensities_of_differently_many_positions_are_corrupt() -> None:
    counted = {"request_id": bytes(16), "propensity": [0.5], "draws": [2], "occurrences": [1], "capped": [False]}
    body = pb.BusMessage(propensities=pb.Propensities(**counted)).SerializeToString()
    assert SpooledPropensities.of(body) == SpooledPropensities(body, RequestId(bytes(16)), 1)
    torn = pb.BusMessage(propensities=pb.Propensities(**{**counted, "draws": [2, 3]})).SerializeToString()
    with pytest.raises(Corrupt):
        SpooledPropensities.of(torn)
