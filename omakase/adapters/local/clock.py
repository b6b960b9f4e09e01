"""Clocks: the machine's, and one that a replay moves for every process at once."""

from __future__ import annotations

import math
import mmap
import struct
import time
from pathlib import Path

from omakase.adapters.local.files import disk_errors, locked, write_whole
from omakase.adapters.uri import Uri
from omakase.core.errors import Corrupt, InvalidInput


class SystemClock:
    """Clock of the machine."""

    @classmethod
    def from_uri(cls, uri: Uri) -> SystemClock:
        if uri.location or uri.options:
            raise InvalidInput(f"{uri.text!r}: the system clock takes nothing after 'system:'")
        return cls()

    def now(self) -> float:
        """See Clock."""
        return time.time()


class MappedClock:
    """One float64 in a file that every process maps: moved by one of them, read by all without a system call.

    Guarantees: it never goes back, whoever moves it; a reader sees the time before a move or after it, nothing else,
    because an aligned double is loaded and stored at once.
    """

    def __init__(self, path: Path) -> None:
        """Raises: Unavailable where `create` was not called yet; Corrupt."""
        self._lock = path.with_name(path.name + ".lock")
        what = f"open the clock {path}, which a replay creates before the services start"
        with disk_errors(what), path.open("r+b") as file:
            if path.stat().st_size != 8:
                raise Corrupt(f"{path} is no clock: it must have 8 bytes")
            self._cell = memoryview(mmap.mmap(file.fileno(), 8)).cast("d")

    @classmethod
    def create(cls, path: Path, at: float) -> MappedClock:
        """Make the file, or open it if it exists, and move it to `at`. Units: Unix seconds."""
        with disk_errors(f"create the clock {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.with_name(path.name + ".lock")):
                if not path.exists():
                    write_whole(path, struct.pack("=d", _finite(at)), is_synced=False)
        clock = cls(path)
        clock.move(at)
        return clock

    @classmethod
    def from_uri(cls, uri: Uri) -> MappedClock:
        return cls(uri.path())

    def now(self) -> float:
        """See Clock."""
        return float(self._cell[0])

    def move(self, to: float) -> float:
        """Go forward to `to`, or stay where that is past. Returns the time it is then. Raises: InvalidInput."""
        to = _finite(to)
        with disk_errors("lock the clock"), locked(self._lock):
            self._cell[0] = max(self._cell[0], to)
            return float(self._cell[0])


def _finite(at: float) -> float:
    if not math.isfinite(at):
        raise InvalidInput(f"a clock cannot show {at}")
    return at
