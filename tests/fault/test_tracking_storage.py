"""Tracking while its storage fails: 503 with Retry-After, never a 202, and it recovers by itself."""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.stage import Stage, until
from tests.integration.test_tracking import RunningTracking, new_slate

Outage = Callable[[Path], AbstractContextManager[None]]


@contextmanager
def file_size_limit(directory: Path) -> Iterator[None]:
    """No file of this process grows beyond the largest that is there: writes fail as on a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(path.stat().st_size for path in directory.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def full_disk(directory: Path) -> Iterator[None]:
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def locked_bus(directory: Path) -> Iterator[None]:
    with closing(sqlite3.connect(directory / "bus.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount on this machine")
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # the databases are closed with their objects


def send(tracking: RunningTracking, event: dict[str, Any]) -> int:
    """The status of one event; a 503 must say when to come back."""
    status, headers, _ = tracking.send("POST", "/v1/events", json.dumps({"events": [event]}).encode())
    assert status in (202, 503)
    assert status == 202 or int(headers["retry-after"]) >= 1
    return status


def check_outage(directory: Path, outage: Outage, **limits: float) -> None:
    with Stage() as stage:
        tracking = RunningTracking(stage, directory, **limits)  # type: ignore[arg-type]
        slate = new_slate()
        tracking.record(slate)
        click = {"delivery_id": slate.deliveries[0].delivery_id, "type": "click"}
        unknown = {"delivery_id": new_slate().deliveries[0].delivery_id, "type": "click"}
        assert send(tracking, click) == 202
        with outage(directory):
            assert [send(tracking, click) for _ in range(8)] == [503] * 8
            assert tracking.send("GET", "/livez")[0] == 200
        until(lambda: send(tracking, {**click, "event_id": "after"}) == 202, "tracking recovers")
        assert send(tracking, unknown) == 202
        tracking.stop()
        stored = [event.event_id for event in tracking.bus.events()]
        # one more at most: the event that was being stored when the storage came back
        assert stored[0] == ""
        assert stored[-1] == "after"
        assert len(stored) <= 3
        assert tracking.store.waiting() == 1


def test_a_database_that_another_process_has_locked_is_a_503_and_never_a_wait_without_end(tmp_path):
    check_outage(tmp_path, locked_bus, store_timeout_s=0.1, max_queued=5)


def test_files_that_may_not_grow_are_a_503(tmp_path):
    check_outage(tmp_path, file_size_limit)


def test_a_full_disk_is_a_503(small_disk):
    check_outage(small_disk, full_disk)
