"""What processes hold, as Linux tells it."""

from __future__ import annotations

from pathlib import Path


def rss_mb(pid: int) -> float:
    """Resident memory now. Raises: OSError if the process is gone."""
    return _status(pid, "VmRSS")


def peak_rss_mb(pid: int) -> float:
    """Resident memory at its highest. Raises: OSError if the process is gone."""
    return _status(pid, "VmHWM")


def _status(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"process {pid} has no {field}: it has ended")
