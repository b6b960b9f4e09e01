"""A process that its supervisor left behind stops by itself."""

from __future__ import annotations

import os
import signal
import threading


def hold(fd: int | None) -> None:
    """Watch the pipe whose other end the supervisor holds: when that closes, this process gets a SIGTERM."""
    if fd is not None:
        threading.Thread(target=_wait, args=(fd,), name="lifeline", daemon=True).start()


def _wait(fd: int) -> None:
    os.read(fd, 1)
    os.kill(os.getpid(), signal.SIGTERM)
