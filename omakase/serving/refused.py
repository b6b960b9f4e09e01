"""Delivery records that tracking refused: a file beside the spool that they came from."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path

# Of the length before each record.
_HEADER_BYTES = 4


@dataclass(frozen=True, slots=True)
class Refused:
    """A record is its length, 4 bytes, big-endian, and its bytes. Safe to use from several processes."""

    path: Path

    def add(self, record: bytes) -> None:
        """Keep one. Raises: OSError; what was written of it then is cut off before the next."""
        with self._held("a+b") as file:
            whole = sum(_HEADER_BYTES + len(found) for found in _read(file))
            file.truncate(whole)
            file.write(len(record).to_bytes(_HEADER_BYTES, "big") + record)

    def count(self) -> int:
        """How many there are."""
        return len(self.records())

    def records(self) -> list[bytes]:
        """All of them, the oldest first."""
        if not self.path.is_file():
            return []
        with self._held("r+b") as file:
            return list(_read(file))

    def release(self, take: Callable[[bytes], None]) -> int:
        """Give each record to `take`, then forget them all. Returns how many. Dying in between repeats some."""
        if not self.path.is_file():
            return 0
        with self._held("r+b") as file:
            records = list(_read(file))
            for record in records:
                take(record)
            file.truncate(0)
        return len(records)

    def rewrite(self, change: Callable[[bytes], bytes]) -> int:
        """Replace each record by what `change` makes of it, where it lies. Returns how many changed."""
        if not self.path.is_file():
            return 0
        with self._held("r+b") as file:
            records = list(_read(file))
            fresh = [change(record) for record in records]
            file.seek(0)
            for record in fresh:
                file.write(len(record).to_bytes(_HEADER_BYTES, "big") + record)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        return sum(old != new for old, new in zip(records, fresh, strict=True))

    @contextmanager
    def _held(self, mode: str) -> Iterator[BufferedRandom]:
        with self.path.open(mode) as file:
            assert isinstance(file, BufferedRandom)
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            file.seek(0)
            yield file


def _read(file: BufferedRandom) -> Iterator[bytes]:
    """Whole records; what a full disk has cut off at the end is none."""
    while len(header := file.read(_HEADER_BYTES)) == _HEADER_BYTES:
        length = int.from_bytes(header, "big")
        record = file.read(length)
        if len(record) < length:
            return
        yield record
