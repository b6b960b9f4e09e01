"""What processes have cost so far."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_QUIET_SHARE, _LOOK_S = 0.05, 0.5


def cpu_s(pid: int) -> float:
    """CPU time of a process, all of its threads, in user and kernel. Raises: FileNotFoundError if it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def of_each(pids: Mapping[str, int]) -> dict[str, float]:
    return {name: cpu_s(pid) for name, pid in pids.items()}


def wait_until_quiet(pids: Iterable[int], within_s: float) -> float:
    """Wait until processes have nothing left to do: together under a twentieth of a core, twice in a row.

    The seconds that it took. Raises: TimeoutError.
    """
    pids, started, quiet = tuple(pids), time.monotonic(), 0
    before = sum(map(cpu_s, pids))
    while quiet < 2:
        if time.monotonic() - started > within_s:
            raise TimeoutError(f"still busy {within_s:g} s after the load")
        time.sleep(_LOOK_S)
        after = sum(map(cpu_s, pids))
        quiet = quiet + 1 if after - before < _QUIET_SHARE * _LOOK_S else 0
        before = after
    return time.monotonic() - started
