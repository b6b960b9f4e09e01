"""Contract of the delivery store."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from omakase.ports.delivery_store import Parked, StoredSlate

PUT_FOR_EVER = """
import sys
from omakase.adapters import open_delivery_store
from omakase.ports.delivery_store import Parked, StoredSlate
store, n = open_delivery_store(sys.argv[1]), 0
while True:
    store.put([StoredSlate(n.to_bytes(16, "big"), 1.0, b"slate")])
    store.park([Parked(n.to_bytes(16, "big"), b"r" * 16, 1.0, b"event")])
    n += 1
    print(n, flush=True)
"""


def request_id(n: int) -> bytes:
    return n.to_bytes(16, "big")


def slate(n: int, served_at: float = 100.0, body: bytes = b"slate") -> StoredSlate:
    return StoredSlate(request_id(n), served_at, body)


def event(n: int, of: int, received_at: float = 100.0) -> Parked:
    return Parked(b"receipt" + n.to_bytes(9, "big"), request_id(of), received_at, b"event %d" % n)


@pytest.fixture
def store(delivery_stores):
    return delivery_stores.open()


def test_is_empty_at_first(store):
    assert store.find([request_id(1)]) == {}
    assert store.parked(1e12, 10) == []
    assert store.waiting() == 0
    assert store.expire(1e12) == 0


def test_finds_the_records_that_are_known(store):
    store.put([slate(1, body=b"one"), slate(2, body=bytes(range(256)))])
    assert store.find([request_id(2), request_id(1), request_id(3), request_id(1)]) == {
        request_id(1): b"one",
        request_id(2): bytes(range(256)),
    }
    assert store.find([]) == {}


def test_finds_many_at_once(store):
    store.put([slate(n) for n in range(5000)])
    assert len(store.find(request_id(n) for n in range(10_000))) == 5000


def test_the_first_record_of_a_request_stays(store):
    store.put([slate(1, body=b"first")])
    store.put([slate(1, body=b"second"), slate(2, body=b"new"), slate(2, body=b"newer")])
    assert store.find([request_id(1), request_id(2)]) == {request_id(1): b"first", request_id(2): b"new"}


def test_an_event_waits_until_its_record_comes(store):
    store.park([event(1, of=1), event(2, of=2)])
    assert store.parked(received_before=0.0, limit=10) == []
    assert store.waiting() == 2
    store.put([slate(2)])
    assert store.parked(received_before=0.0, limit=10) == [event(2, of=2)]


def test_an_event_whose_record_came_first_is_due_at_once(store):
    store.put([slate(1)])
    store.park([event(1, of=1)])
    assert store.parked(received_before=0.0, limit=10) == [event(1, of=1)]


def test_an_event_that_waited_too_long_is_due_without_its_record(store):
    store.park([event(1, of=1, received_at=10.0), event(2, of=2, received_at=20.0)])
    assert store.parked(received_before=20.0, limit=10) == [event(1, of=1, received_at=10.0)]


def test_due_events_come_oldest_first_and_at_most_as_many_as_asked(store):
    store.put([slate(1)])
    store.park([event(n, of=n % 2, received_at=float(at)) for n, at in enumerate([5, 1, 4, 2, 3, 9])])
    due = store.parked(received_before=6.0, limit=4)
    assert [parked.received_at for parked in due] == [1.0, 2.0, 3.0, 4.0]
    assert [parked.received_at for parked in store.parked(6.0, 100)] == [1.0, 2.0, 3.0, 4.0, 5.0, 9.0]


def test_parking_twice_is_parking_once(store):
    store.park([event(1, of=1), event(1, of=1)])
    store.park([event(1, of=1), event(2, of=1)])
    assert store.waiting() == 2
    store.put([slate(1)])
    assert store.parked(0.0, 10) == [event(1, of=1), event(2, of=1)]


def test_a_released_event_is_forgotten_and_releasing_again_is_no_error(store):
    store.park([event(1, of=1), event(2, of=2)])
    store.release([event(1, of=1).receipt_id])
    store.release([event(1, of=1).receipt_id, b"unknown"])
    store.release([])
    assert store.waiting() == 1
    assert store.parked(1e12, 10) == [event(2, of=2)]


def test_expires_records_served_before_a_time(store):
    store.put([slate(n, served_at=float(n)) for n in range(10)])
    assert store.expire(4.0) == 4
    assert set(store.find(map(request_id, range(10)))) == {request_id(n) for n in range(4, 10)}
    assert store.expire(4.0) == 0


def test_expires_a_bounded_number_at_a_time_until_none_are_left(store):
    store.put([slate(n, served_at=1.0) for n in range(25_000)])
    steps = [store.expire(2.0)]
    while steps[-1]:
        steps.append(store.expire(2.0))
    assert sum(steps) == 25_000
    assert max(steps) <= 10_000


def test_no_event_is_left_waiting_when_record_and_event_race(store):
    def arrive(n: int) -> None:
        if n % 2:
            store.put([slate(n // 2)])
        else:
            store.park([event(n // 2, of=n // 2)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(arrive, range(400)))
    assert len(store.parked(received_before=0.0, limit=1000)) == 200


def test_keeps_what_it_acknowledged_when_the_writer_is_killed(delivery_stores, spawn):
    child = spawn(PUT_FOR_EVER, delivery_stores.uri)
    acknowledged = 0
    while acknowledged < 50:
        acknowledged = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
    store = delivery_stores.open()
    assert len(store.find(map(request_id, range(acknowledged)))) == acknowledged
    assert store.waiting() >= acknowledged


def test_another_process_sees_it_when_it_opens_the_same_storage(delivery_stores):
    delivery_stores.open().put([slate(1)])
    delivery_stores.open().park([event(1, of=1)])
    assert delivery_stores.open().parked(0.0, 10) == [event(1, of=1)]
