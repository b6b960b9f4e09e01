"""The delivery log as append-only segment files.

A record is its length (4 bytes, little-endian), a CRC-32 over length and body (4), and the body. A segment has one
writer, which holds a lock on it for as long as it may grow; a new process starts a new segment, so that a torn tail
stays a tail. `omakase.adapters.local.spool_reader` reads them.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
import weakref
from itertools import count
from pathlib import Path
from zlib import crc32

from omakase.adapters.local.files import disk_errors, temporary_beside
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput, Unavailable

SUFFIX = ".spool"
HEADER = struct.Struct("<II")
MAX_RECORD_BYTES = 64 * 1024 * 1024
SEGMENT_BYTES = 8 * 1024 * 1024

_numbers = count()


def checksum(body: bytes) -> int:
    """Over the length too, so that a run of zeros is no record."""
    return crc32(body, crc32(len(body).to_bytes(4, "little")))


class Spool:
    """DeliveryLog. Safe to share between threads; several processes may write into one directory.

    Guarantees: a record that `append` returned from survives the death of the process, not power loss. One that it
    refused spoils no other.
    """

    def __init__(self, directory: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._segment: _Segment | None = None
        with disk_errors(f"create the spool {directory}"):
            directory.mkdir(parents=True, exist_ok=True)

    @classmethod
    def from_uri(cls, uri: Uri) -> Spool:
        return cls(uri.path())

    def append(self, *records: bytes) -> None:
        """See DeliveryLog. Raises: InvalidInput for a record of more than 64 MiB."""
        longest = max(map(len, records))
        if longest > MAX_RECORD_BYTES:
            raise InvalidInput(f"a spooled record has at most {MAX_RECORD_BYTES} bytes, not {longest}")
        framed = b"".join([HEADER.pack(len(record), checksum(record)) + record for record in records])
        with self._lock, disk_errors(f"append to the spool {self._directory}"):
            segment = self._segment
            if segment is None or (segment.size and segment.size + len(framed) > self._segment_bytes):
                self._end_segment()
                segment = self._segment = _Segment(self._directory)
            try:
                segment.write(framed)
            except (OSError, Unavailable):
                try:
                    segment.repair()
                finally:
                    self._end_segment()
                raise

    def close(self) -> None:
        """End the segment, so that a reader may remove it. The next `append` starts another."""
        with self._lock:
            self._end_segment()

    def _end_segment(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None


class _Segment:
    """The file that grows. Its lock is the sign that it may; it goes with the object, or with the process."""

    def __init__(self, directory: Path) -> None:
        # Sorted by name, segments are in order of time.
        self.path = directory / f"{time.time_ns():020d}-{os.getpid()}-{next(_numbers)}{SUFFIX}"
        self.size = 0
        # Locked before it gets its name: a reader that found it unlocked would take it for finished and remove it.
        temporary = temporary_beside(self.path)
        self._fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.close = weakref.finalize(self, os.close, self._fd)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        os.rename(temporary, self.path)

    def write(self, framed: bytes) -> None:
        written = os.write(self._fd, framed)
        if written < len(framed):
            raise Unavailable(f"the disk took {written} of {len(framed)} bytes for {self.path}")
        self.size += written

    def repair(self) -> None:
        """Cut off what a failed write left, for nothing was promised of it; and go, if nothing else is there."""
        os.ftruncate(self._fd, self.size)
        if self.size == 0:
            self.path.unlink(missing_ok=True)
