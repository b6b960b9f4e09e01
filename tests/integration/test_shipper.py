"""From a spool on disk to a tracking that comes and goes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import grpc
import pytest

from omakase.adapters.local.spool import Spool
from omakase.adapters.local.spool_reader import SpoolReader
from omakase.serving.shipper import Shipper
from omakase.v1 import tracking_pb2, tracking_pb2_grpc
from tests.integration.stage import PATIENCE_S, free_port, until

ROOT = Path(__file__).parents[2]
POISON = b"poison"
PATIENCE_ROUNDS = 50
SPOOL_AND_WAIT = """
import sys
from pathlib import Path
from omakase.adapters.local.spool import Spool
from omakase.adapters.local.spool_reader import SpoolReader
from omakase.serving.shipper import Shipper
directory = Path(sys.argv[1])
spool = Spool(directory)
Shipper(SpoolReader(directory), f"127.0.0.1:{sys.argv[2]}", directory / "refused").start()
for i in range(10):
    spool.append(b"%d" % i)
print("spooled", flush=True)
sys.stdin.read()
"""


class Tracking(tracking_pb2_grpc.TrackingServicer):
    """Keeps what it is sent, refuses what it cannot read, as tracking does: the whole call."""

    def __init__(self, port: int, max_bytes: int = 4 << 20, host: str = "127.0.0.1") -> None:
        self.records: list[bytes] = []
        self.calls = 0
        self.answers = threading.Event()
        self.answers.set()
        self._server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", max_bytes)])
        tracking_pb2_grpc.add_TrackingServicer_to_server(self, self._server)
        assert self._server.add_insecure_port(f"{host}:{port}") == port

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self.answers.set()

    def cut(self) -> None:
        """End without an answer to whoever waits for one."""
        self._server.stop(None).wait()

    def RecordSlates(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.calls += 1
        if POISON in request.slates:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "record 0: not a slate")
        self.records += request.slates
        self.answers.wait(PATIENCE_S)
        return tracking_pb2.RecordSlatesResponse()


class Service:
    """What writes a spool and ships it. Made again over the same directory, it is the next process."""

    def __init__(self, directory: Path, port: int, hosts: str = "127.0.0.1:{port}") -> None:
        self.refused = directory / "refused"
        self._spool = Spool(directory)
        self._reader = SpoolReader(directory)
        self.shipper = Shipper(self._reader, hosts.format(port=port), self.refused)
        self.shipper.start()

    def append(self, *records: bytes) -> None:
        for record in records:
            self._spool.append(record)

    def end(self, flush_s: float = PATIENCE_S) -> None:
        self.shipper.stop(flush_s)
        self._spool.close()
        self._reader.close()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def service(tmp_path: Path, port: int) -> Iterator[Service]:
    service = Service(tmp_path / "spool", port)
    yield service
    service.end(flush_s=5.0)


def numbered(n: int, start: int = 0) -> list[bytes]:
    return [b"%d" % i for i in range(start, start + n)]


def test_ships_everything_in_order_and_leaves_an_empty_spool(service, port, tmp_path):
    with Tracking(port) as tracking:
        service.append(*numbered(1200))
        until(lambda: len(tracking.records) == 1200, "all is shipped")
        service.end()
    assert tracking.records == numbered(1200)
    assert SpoolReader(tmp_path / "spool").read(10) == []


def test_records_that_come_one_by_one_are_sent_together(service, port):
    with Tracking(port) as tracking:
        service.append(b"first")
        until(lambda: tracking.records, "it ships")
        calls = tracking.calls
        service.append(*numbered(200))
        until(lambda: len(tracking.records) == 201, "all is shipped")
        assert tracking.calls - calls <= 3


def test_of_a_tracking_with_several_addresses_each_is_sent_to(tmp_path, port):
    with Tracking(port) as a, Tracking(port, host="127.0.0.2") as b:
        service = Service(tmp_path / "spool", port, "ipv4:127.0.0.1:{port},127.0.0.2:{port}")
        for i in range(PATIENCE_ROUNDS):
            service.append(b"%d" % i)
            until(lambda sent=i + 1: len(a.records) + len(b.records) == sent, "it ships")
            if a.records and b.records:
                break
        service.end()
    assert a.records
    assert b.records


def test_what_tracking_missed_is_shipped_when_it_is_back(service, port):
    with Tracking(port) as tracking:
        service.append(b"before")
        until(lambda: tracking.records == [b"before"], "it ships")
    service.append(*numbered(50))
    with Tracking(port) as tracking:
        until(lambda: len(tracking.records) >= 50, "tracking is found again")
        assert tracking.records == numbered(50)


def test_who_ends_with_records_that_nobody_took_says_so(tmp_path, port, caplog):
    service = Service(tmp_path / "spool", port)
    service.append(b"kept")
    service.end(flush_s=0.05)
    assert "delivery records are left in the spool" in caplog.text
    with Tracking(port) as tracking:
        until(lambda: tracking.records == [b"kept"], "the thread that was left ships it")


def test_what_tracking_took_without_answering_is_sent_again(service, port):
    with Tracking(port) as tracking:
        tracking.answers.clear()
        service.append(*numbered(3))
        until(lambda: tracking.calls == 1, "it ships")
        tracking.cut()
    with Tracking(port) as again:
        until(lambda: len(again.records) == 3, "it is sent again")
    assert again.records == numbered(3)


def test_a_record_that_tracking_cannot_read_is_set_aside_and_the_others_are_shipped(service, port, caplog):
    records = [*numbered(300), POISON, *numbered(300, start=300)]
    service.append(*records)
    with Tracking(port) as tracking:
        until(lambda: len(tracking.records) == 600, "the others are shipped")
        service.end()
    assert tracking.records == numbered(600)
    assert service.refused.read_bytes() == len(POISON).to_bytes(4, "big") + POISON
    assert "refused a delivery record" in caplog.text
    assert tracking.calls < 40


def test_a_batch_that_is_too_large_for_one_message_is_cut(service, port):
    records = [bytes([i]) * 100_000 for i in range(30)]
    service.append(*records)
    with Tracking(port, max_bytes=1 << 20) as tracking:
        until(lambda: len(tracking.records) == 30, "all is shipped")
        assert tracking.records == records
    assert not service.refused.exists()


def test_a_record_that_is_too_large_by_itself_is_set_aside(service, port):
    service.append(b"small", bytes(2 << 20), b"small too")
    with Tracking(port, max_bytes=1 << 20) as tracking:
        until(lambda: tracking.records == [b"small", b"small too"], "the others are shipped")
        service.end()
    assert service.refused.stat().st_size == 4 + (2 << 20)


def test_goes_on_when_there_was_no_room_to_set_a_record_aside(service, port, caplog):
    service.refused.mkdir()  # opening it to write fails, as on a full disk
    service.append(POISON, b"good")
    with Tracking(port) as tracking:
        until(lambda: "wait in the spool" in caplog.text, "setting aside failed")
        assert tracking.records == []
        service.refused.rmdir()
        until(lambda: tracking.records == [b"good"], "it is tried again")
        service.end()
    assert service.refused.read_bytes().endswith(POISON)


def test_a_stop_ships_what_is_left(tmp_path, port):
    with Tracking(port) as tracking:
        service = Service(tmp_path / "spool", port)
        service.append(*numbered(2000))
        service.end()
        assert tracking.records == numbered(2000)


def test_what_a_killed_process_could_not_ship_is_shipped_by_the_next(tmp_path, port):
    arguments = [sys.executable, "-c", SPOOL_AND_WAIT, str(tmp_path / "spool"), str(port)]
    with subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "spooled\n"
        child.kill()
    with Tracking(port) as tracking:
        reborn = Service(tmp_path / "spool", port)
        reborn.append(b"new")
        until(lambda: len(tracking.records) >= 11, "all is shipped")
        reborn.end()
    assert tracking.records == [*numbered(10), b"new"]
