"""Files that are whole or absent, whatever dies."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omakase.core.errors import Unavailable

TEMPORARY = ".tmp"


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Say in Omakase's words that the disk refused. Raises: Unavailable for any OSError inside."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"cannot {doing}: {error}") from error


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock between threads and processes. Guarantees: the holder's death frees it."""
    # A descriptor of its own per holder: flock belongs to the open file, so that threads exclude each other too.
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def write_whole(path: Path, content: bytes, *, is_synced: bool = True) -> None:
    """Replace a file at once: a reader sees the old or the new. Power loss cannot tear it if `is_synced`."""
    temporary = temporary_beside(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            if is_synced:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if is_synced:
        sync(path.parent)


def temporary_beside(path: Path) -> Path:
    """A hidden name in the same directory that no other thread or process uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{TEMPORARY}")


def sync(path: Path) -> None:
    """Make what is in a file survive power loss, or the renames in a directory."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
