"""The bus out of reach: locked by another process, then a disk that takes no writes."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.fault.matrix.row import Scene, Unmet, pause, until

# Tracking waits 10 s for a locked database; a 503 is only due after that.
_LOCKS_S = (2.0, 14.0, 4.0)
_READ_ONLY_S = 4.0


def cut_bus(scene: Scene) -> str:
    """Cut tracking off from its bus, each time with the storefront asking on. Raises: Unmet without a 503."""
    bus, notes = scene.deployment.root / "bus.db", scene.load.notes
    for lock_s in _LOCKS_S:
        with locked(bus):
            pause(lock_s)
            scene.serve(20)
        scene.serve(50)
    if not notes.refused:
        raise Unmet("tracking never answered 503 although its bus was locked")
    done = f"bus locked {len(_LOCKS_S)} × for up to {max(_LOCKS_S):g} s"
    log = bus.with_name("bus.db-wal")
    if not _set_immutable(log, is_on=True):
        return f"{done} (read-only: needs root and ext4); {notes.refused} × 503"
    try:
        refused = notes.refused
        until(lambda: notes.refused > refused, "tracking answers 503 while its bus is read-only")
        pause(_READ_ONLY_S)
        scene.serve(20)
    finally:
        _set_immutable(log, is_on=False)
    return f"{done}, read-only {_READ_ONLY_S:g} s; {notes.refused} × 503"


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the write lock of a database from this process."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30.0)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


def _set_immutable(path: Path, *, is_on: bool) -> bool:
    """Root may write what nobody may write; to an immutable file not even root does."""
    try:
        flags = ["chattr", "+i" if is_on else "-i", str(path)]
        return subprocess.run(flags, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
