"""Contract of the event bus and its log."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from omakase.core.errors import InvalidInput
from omakase.ports.event_bus import Message

PUBLISH_FOR_EVER = """
import sys
from omakase.adapters import open_event_bus
from omakase.ports.event_bus import Message
bus, n = open_event_bus(sys.argv[1]), 0
while True:
    bus.publish([Message((n + i).to_bytes(16, "big"), float(n + i), b"body") for i in range(3)])
    n += 3
    print(n, flush=True)
"""

PUBLISH_ON_CUE = """
import sys
from omakase.adapters import open_event_bus
from omakase.ports.event_bus import Message
bus, name = open_event_bus(sys.argv[1]), sys.argv[2].encode()
print("ready", flush=True)
sys.stdin.readline()
for i in range(100):
    bus.publish([Message(name + i.to_bytes(14, "big") + bytes([k]), 1.0, name) for k in range(5)])
print("done", flush=True)
"""


def message(n: int, body: bytes = b"body", **more: object) -> Message:
    return Message(n.to_bytes(16, "big"), 1_700_000_000.25 + n, body, **more)


def offsets(log) -> list[int]:
    return [logged.offset for logged in log.read(0, 10**6)]


@pytest.fixture
def log(event_logs):
    return event_logs.open()


def test_is_empty_at_first(log):
    assert log.read(0, 10) == []
    assert log.last_offset() == 0
    assert log.totals() == {"deliveries": 0, "events": 0, "propensities": 0, "discards": 0}
    assert log.trim() == 0


def test_reads_what_was_published_in_order_and_unchanged(log):
    messages = [message(3), message(1, b""), message(2, bytes(range(256)), kind="deliveries", units=7)]
    log.publish(messages[:2])
    log.publish(messages[2:])
    read = log.read(0, 10)
    assert [logged.message for logged in read] == messages
    assert [logged.offset for logged in read] == [1, 2, 3]


def test_reads_from_any_offset_at_most_as_many_as_asked(log):
    log.publish([message(n) for n in range(10)])
    assert [logged.offset for logged in log.read(4, 3)] == [5, 6, 7]
    assert [logged.offset for logged in log.read(8, 100)] == [9, 10]
    assert log.read(10, 100) == []


def test_publishing_nothing_changes_nothing(log):
    log.publish([])
    assert log.last_offset() == 0


def test_takes_the_same_key_once_and_leaves_no_gap(log):
    log.publish([message(1), message(2)])
    log.publish([message(2, b"other"), message(1), message(3), message(3), message(4)])
    assert [logged.message for logged in log.read(0, 10)] == [message(n) for n in (1, 2, 3, 4)]
    assert offsets(log) == [1, 2, 3, 4]
    assert log.last_offset() == 4


def test_keeps_the_order_of_a_long_publication_and_takes_its_repetitions_once(log):
    log.publish([message(7), message(130)])
    log.publish([message(n) for n in range(137)] + [message(n, b"again") for n in range(20, 90)])
    read = [logged.message for logged in log.read(0, 1000)]
    assert read == [message(n) for n in (7, 130, *(n for n in range(137) if n not in (7, 130)))]
    assert log.totals()["events"] == log.last_offset() == 137


def test_publishes_all_or_none(log):
    with pytest.raises(InvalidInput, match="key"):
        log.publish([message(1), Message(b"short", 1.0, b""), message(2)])
    assert log.last_offset() == 0
    log.publish([message(1)])
    assert offsets(log) == [1]


def test_totals_count_each_unit_once_also_when_trimmed(log):
    slates = [message(n, kind="deliveries", units=3) for n in range(4)]
    log.publish([*slates, message(10), message(11), message(13, kind="propensities", units=3)])
    log.publish([*slates, message(10), message(12)])
    log.acknowledge("trainer", 6)
    log.trim()
    assert log.totals() == {"deliveries": 12, "events": 3, "propensities": 3, "discards": 0}


def test_keeps_everything_while_no_consumer_is_known(log):
    log.publish([message(n) for n in range(5)])
    assert log.trim() == 0
    assert offsets(log) == [1, 2, 3, 4, 5]


def test_trims_what_every_consumer_acknowledged(log):
    log.publish([message(n) for n in range(10)])
    log.acknowledge("trainer", 7)
    log.acknowledge("loader", 4)
    assert log.trim() == 4
    assert offsets(log) == [5, 6, 7, 8, 9, 10]
    assert log.trim() == 0
    assert log.last_offset() == 10


def test_an_acknowledgement_never_moves_back(log):
    log.publish([message(n) for n in range(10)])
    log.acknowledge("trainer", 7)
    log.acknowledge("trainer", 7)
    log.acknowledge("trainer", 2)
    assert log.trim() == 7


def test_tells_a_consumer_how_far_it_has_acknowledged(log):
    log.publish([message(n) for n in range(10)])
    assert log.acknowledge("trainer", 0) == 0
    assert log.acknowledge("trainer", 7) == 7
    assert log.acknowledge("loader", 2) == 2
    assert log.acknowledge("trainer", 0) == 7


def test_never_drops_the_newest_so_that_no_offset_is_given_twice(event_logs):
    log = event_logs.open()
    log.publish([message(n) for n in range(3)])
    log.acknowledge("trainer", 3)
    assert log.trim() == 2
    assert offsets(log) == [3]
    log.publish([message(9)])
    assert [logged.offset for logged in event_logs.open().read(0, 10)] == [3, 4]


def test_a_call_repeated_after_everything_was_trimmed_adds_nothing(log):
    batch = [message(n) for n in range(5)]
    log.publish(batch)
    log.acknowledge("trainer", 5)
    log.trim()
    log.publish(batch)
    assert log.last_offset() == 5


def test_trims_more_than_one_short_transaction_takes(log):
    log.publish([message(n, b"") for n in range(12_000)])
    log.acknowledge("trainer", 11_000)
    assert log.trim() == 11_000
    assert log.read(0, 1)[0].offset == 11_001


def test_racing_threads_get_offsets_without_gaps_and_each_its_messages_in_order(log):
    def publish(worker: int) -> None:
        for turn in range(20):
            log.publish([message(worker * 1000 + turn * 10 + i, bytes([worker, turn])) for i in range(5)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(publish, range(8)))
    read = log.read(0, 10_000)
    assert [logged.offset for logged in read] == list(range(1, 801))
    for worker in range(8):
        own = [logged.message.key for logged in read if logged.message.body[0] == worker]
        assert own == [message(worker * 1000 + turn * 10 + i).key for turn in range(20) for i in range(5)]


def test_racing_processes_get_offsets_without_gaps_and_readers_miss_none(event_logs, spawn):
    children = [spawn(PUBLISH_ON_CUE, event_logs.uri, name) for name in ("a", "b", "c")]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    log, seen = event_logs.open(), []
    while len(seen) < 1500:
        seen += [logged.offset for logged in log.read(len(seen), 100)]
        assert seen == list(range(1, len(seen) + 1))
        assert all(child.poll() in (None, 0) for child in children)
    assert log.last_offset() == 1500


def test_opening_at_the_same_moment_is_no_error(event_logs):
    with ThreadPoolExecutor(8) as pool:
        logs = list(pool.map(lambda _: event_logs.open(), range(16)))
    for n, log in enumerate(logs):
        log.publish([message(n)])
    assert logs[0].last_offset() == 16


def test_keeps_what_it_acknowledged_when_the_writer_is_killed(event_logs, spawn):
    child = spawn(PUBLISH_FOR_EVER, event_logs.uri)
    acknowledged = 0
    while acknowledged < 150:
        acknowledged = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
    log = event_logs.open()
    found = log.read(0, 10**6)
    assert len(found) >= acknowledged
    assert len(found) % 3 == 0, "a batch was published in part"
    assert [logged.message.key for logged in found] == [n.to_bytes(16, "big") for n in range(len(found))]
    assert log.totals()["events"] == len(found)


def test_keeps_messages_and_acknowledgements_when_reopened(event_logs):
    event_logs.open().publish([message(n) for n in range(4)])
    event_logs.open().acknowledge("trainer", 2)
    assert event_logs.open().trim() == 2
    assert offsets(event_logs.open()) == [3, 4]
