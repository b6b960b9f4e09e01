"""Processes that can wait give way to those that cannot."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def give_way(nice: int) -> None:
    """Take less of a machine that is all taken. Call it before there are further threads, which inherit it.

    Where Linux shares the machine between sessions first (autogroup, see sched(7)), a process that leads a session, as
    ours do, would give way to nobody by its nice value alone: its session has one of its own.
    """
    os.nice(nice)
    with suppress(OSError):  # not Linux, or sessions are not told apart
        Path("/proc/self/autogroup").write_text(str(nice))
