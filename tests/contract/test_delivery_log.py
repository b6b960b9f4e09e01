"""Contract of the delivery log, with its other end."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from omakase.adapters import open_spool_reader

APPEND_FOR_EVER = """
import sys
from omakase.adapters import open_delivery_log
log, n = open_delivery_log(sys.argv[1]), 0
while True:
    log.append(b"%d:" % n + b"x" * 2000)
    n += 1
    print(n, flush=True)
"""


def drain(reader, limit: int = 100) -> list[bytes]:
    shipped: list[bytes] = []
    while records := reader.read(limit):
        shipped += records
        reader.commit()
    return shipped


@pytest.fixture
def reader(delivery_logs):
    reader = open_spool_reader(delivery_logs.uri)
    yield reader
    reader.close()


def test_nothing_is_to_be_shipped_at_first(reader):
    assert reader.read(10) == []
    reader.commit()


def test_ships_records_in_order_and_unchanged(delivery_logs, reader):
    log = delivery_logs.open()
    records = [b"one", b"", bytes(range(256)) * 100, b"four"]
    for record in records:
        log.append(record)
    assert drain(reader, limit=3) == records
    log.append(b"five")
    assert drain(reader) == [b"five"]


def test_reads_the_same_again_until_it_is_committed(delivery_logs, reader):
    log = delivery_logs.open()
    for n in range(5):
        log.append(b"%d" % n)
    assert reader.read(2) == [b"0", b"1"]
    assert reader.read(3) == [b"0", b"1", b"2"]
    reader.commit()
    assert reader.read(10) == [b"3", b"4"]


def test_goes_on_after_the_last_commit_when_the_reader_restarts(delivery_logs):
    log = delivery_logs.open()
    for n in range(5):
        log.append(b"%d" % n)
    first = open_spool_reader(delivery_logs.uri)
    first.read(2)
    first.commit()
    first.read(2)
    first.close()
    second = open_spool_reader(delivery_logs.uri)
    assert second.read(10) == [b"2", b"3", b"4"]
    second.close()


def test_ships_what_threads_appended_side_by_side_while_it_reads(delivery_logs, reader):
    log = delivery_logs.open()

    def append(worker: int) -> None:
        for n in range(250):
            log.append(b"%d-%d " % (worker, n) * (worker + 1))

    shipped: list[bytes] = []
    with ThreadPoolExecutor(8) as pool:
        appending = [pool.submit(append, worker) for worker in range(8)]
        while len(shipped) < 2000:
            shipped += reader.read(97)
            reader.commit()
            assert not any(job.done() and job.exception() for job in appending)
    for worker in range(8):
        mine = [record for record in shipped if record.startswith(b"%d-" % worker)]
        assert mine == [b"%d-%d " % (worker, n) * (worker + 1) for n in range(250)]


def test_ships_what_killed_processes_left(delivery_logs, spawn, reader):
    for _ in range(2):
        child = spawn(APPEND_FOR_EVER, delivery_logs.uri)
        acknowledged = 0
        while acknowledged < 200:
            acknowledged = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
        shipped = [int(record.partition(b":")[0]) for record in drain(reader)]
        assert shipped[:acknowledged] == list(range(acknowledged))
