"""A full disk: a small one of its own, filled by ballast under load, then freed."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fault.matrix.row import Scene, Skipped, Unmet, pause

_TIMES = 2
_FULL_S = 8.0
_SIZE = "192m"


@contextmanager
def small_disk() -> Iterator[Path]:
    """A tmpfs. Raises: Skipped where it cannot be mounted."""
    with tempfile.TemporaryDirectory(prefix="omakase-fault-") as home:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", home]
        try:
            mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise Skipped("a small disk needs Linux and its mount command") from None
        if mounted.returncode:
            raise Skipped(f"a small disk cannot be mounted: {mounted.stderr.strip() or 'needs root'}")
        try:
            yield Path(home)
        finally:
            subprocess.run(["umount", "--lazy", home], check=True)


def fill_disk(scene: Scene) -> str:
    """Fill the data directory's disk, keep it full, free it. Raises: Unmet without a 503."""
    notes = scene.load.notes
    ballast = scene.deployment.root.parent / "ballast"
    for _ in range(_TIMES):
        refused, slates = notes.refused, notes.slates
        with ballast.open("wb", buffering=0) as file:
            until = time.monotonic() + _FULL_S
            while time.monotonic() < until:
                _fill(file.fileno())
                pause(0.05)
        if notes.refused == refused:
            raise Unmet("tracking never answered 503 although its disk was full")
        if notes.slates == slates:
            raise Unmet("no slate was served while the disk was full")
        ballast.unlink()
        scene.serve(100)
    return f"disk full {_TIMES} × for {_FULL_S:g} s; {notes.refused} × 503"


def _fill(fd: int) -> None:
    """Write until nothing more goes in, to the last page."""
    for size in (1 << 20, 1 << 12, 1):
        try:
            while os.write(fd, bytes(size)):
                pass
        except OSError:
            continue
