"""The other end of a spool: what still has to be shipped, oldest first."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from omakase.adapters.local.files import disk_errors, write_whole
from omakase.adapters.local.spool import HEADER, MAX_RECORD_BYTES, SUFFIX, checksum
from omakase.adapters.uri import Uri
from omakase.core.errors import Unavailable

_log = logging.getLogger(__name__)
_CURSOR = "cursor.json"
_DAMAGED = ".damaged"
# Some hundred records at a time: with the usual 8 KiB every fourth would be a system call.
_BUFFER_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What was read of one segment, up to `end`. Finished: nothing more will come. Damaged: at `end`, for good."""

    records: list[bytes]
    end: int
    is_finished: bool
    is_damaged: bool


class SpoolReader:
    """Reads every segment of a directory, those of dead processes too, while a `Spool` goes on writing.

    Guarantees: each record is returned until it is committed, after a restart too; so at least once, and once where
    nobody dies between shipping and committing. A damaged segment is read up to its damage and set aside under the
    name *.damaged, logged and counted. Has one user, in one thread; a second reader of the directory is refused.
    """

    def __init__(self, directory: Path) -> None:
        self.damaged_segments = 0
        self._directory = directory
        self._close: weakref.finalize[[int], SpoolReader] | None = None
        self._committed: dict[str, int] = {}
        self._uncommitted: dict[str, _Stretch] = {}

    @classmethod
    def from_uri(cls, uri: Uri) -> SpoolReader:
        return cls(uri.path())

    def read(self, limit: int) -> list[bytes]:
        """At most `limit` records that are not committed; the same again until they are. Empty: all is shipped.

        Raises: Unavailable, also while another process reads this spool.
        """
        with disk_errors(f"read the spool {self._directory}"):
            self._take_over()
            records: list[bytes] = []
            self._uncommitted = {}
            for path in sorted(self._directory.glob(f"*{SUFFIX}")):
                stretch = _stretch(path, self._committed.get(path.name, 0), limit - len(records))
                if not stretch.records:
                    self._settle(path, stretch)
                    continue
                self._uncommitted[path.name] = stretch
                records += stretch.records
                if len(records) >= limit:
                    break
        return records

    def commit(self) -> None:
        """What the last `read` returned is shipped: never return it again. Raises: Unavailable; then call it again."""
        if not self._uncommitted:
            return
        with disk_errors(f"commit to the spool {self._directory}"):
            existing = {path.name for path in self._directory.glob(f"*{SUFFIX}")}
            moved = self._committed | {name: stretch.end for name, stretch in self._uncommitted.items()}
            moved = {name: end for name, end in moved.items() if name in existing}
            # The cursor names finished segments too, until they are gone: dying in between ships nothing twice.
            write_whole(self._directory / _CURSOR, json.dumps(moved).encode(), is_synced=False)
            self._committed = moved
            done, self._uncommitted = self._uncommitted, {}
            for name, stretch in done.items():
                self._settle(self._directory / name, stretch)

    def close(self) -> None:
        """Let another process read."""
        if self._close is not None:
            self._close()
            self._close = None

    def _take_over(self) -> None:
        if self._close is not None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._directory / "reader.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise Unavailable(f"another process reads the spool {self._directory}") from error
        self._close = weakref.finalize(self, os.close, fd)
        self._committed = committed_of(self._directory)

    def _settle(self, path: Path, stretch: _Stretch) -> None:
        if stretch.is_damaged:
            lost = path.stat().st_size - stretch.end
            aside = path.with_name(path.name + _DAMAGED)
            path.rename(aside)
            self.damaged_segments += 1
            _log.error("spool segment damaged at byte %d: %d bytes not shipped, kept in %s", stretch.end, lost, aside)
        elif stretch.is_finished:
            path.unlink(missing_ok=True)


def _stretch(path: Path, start: int, limit: int) -> _Stretch:
    try:
        file = path.open("rb", buffering=_BUFFER_BYTES)
    except FileNotFoundError:
        return _Stretch([], start, is_finished=False, is_damaged=False)
    with file:
        # Asked before reading: what ends after the answer is found out next time.
        is_sealed = has_ended(file)
        file.seek(start)
        records: list[bytes] = []
        end = start
        while len(records) < limit:
            header = file.read(HEADER.size)
            if not header:
                return _Stretch(records, end, is_finished=is_sealed, is_damaged=False)
            body = read_body(file, header)
            if body is None:
                # In a segment that still grows this may be a record on its way.
                return _Stretch(records, end, is_finished=is_sealed, is_damaged=is_sealed)
            records.append(body)
            end += HEADER.size + len(body)
    return _Stretch(records, end, is_finished=False, is_damaged=False)


def read_body(file: BinaryIO, header: bytes) -> bytes | None:
    """The body after a header; None if header or body is not whole."""
    if len(header) < HEADER.size:
        return None
    length, expected = HEADER.unpack(header)
    if length > MAX_RECORD_BYTES:
        return None
    body = file.read(length)
    return body if len(body) == length and checksum(body) == expected else None


def has_ended(file: BinaryIO) -> bool:
    """Whether a segment has no writer any more."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def committed_of(directory: Path) -> dict[str, int]:
    """How far each segment of a spool was shipped, in bytes."""
    path = directory / _CURSOR
    try:
        return {str(name): int(end) for name, end in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError):
        # Shipping is idempotent: better twice than not at all.
        _log.warning("the cursor %s cannot be read: everything that is left is shipped again", path)
        return {}
