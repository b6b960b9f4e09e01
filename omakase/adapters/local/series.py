"""Which part of a series is the newest, and where its rows are: all that an append must know of what is there.

Parts named `<series>-<digits>` are a series, in the order of the numbers; any other name is a series of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from omakase.adapters.local.files import write_whole
from omakase.core.errors import InvalidInput

_PART = re.compile(r"[A-Za-z0-9_-]{1,200}")
_NUMBERED = re.compile(r"(.*)-([0-9]+)")


def check_part(part: str) -> None:
    """Raises: InvalidInput for a name that no part can have."""
    if not _PART.fullmatch(part):
        raise InvalidInput(f"part name {part!r}: use 1 to 200 letters, digits, '-' and '_'")


def series_of(part: str) -> str:
    """What the parts of one series have in common, as the name of a file."""
    found = _NUMBERED.fullmatch(part)
    # A part name holds no '#': the series `log-#` is not the part `log-`.
    return f"{found[1]}-#" if found else part


def order_of(part: str) -> tuple[int, str]:
    """Sorts the parts of one series."""
    found = _NUMBERED.fullmatch(part)
    return (int(found[2]) if found else 0, part)


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest part of a series, and every hour that it may have a file in, perhaps some more."""

    part: str
    hours: tuple[int, ...]

    def is_after(self, part: str) -> bool:
        """Whether `part`, of the same series, is older, and so not to be written again."""
        return order_of(part) < order_of(self.part)


class SeriesIndex:
    """One small file a series. A series without one is searched for among the files that there are."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, series: str) -> Newest | None:
        try:
            found = json.loads((self._directory / series).read_bytes())
        except FileNotFoundError:
            return None
        return Newest(found["part"], tuple(found["hours"]))

    def write(self, newest: Newest) -> None:
        """Guarantees: survives power loss, so that what is shown next is never unknown here."""
        self._directory.mkdir(exist_ok=True)
        body = json.dumps({"part": newest.part, "hours": sorted(newest.hours)}).encode()
        write_whole(self._directory / series_of(newest.part), body)


def newest_of(series: str, found: Iterable[tuple[str, int]]) -> Newest | None:
    """The newest of a series among parts and an hour of each."""
    hours: dict[str, set[int]] = {}
    for part, hour in found:
        if series_of(part) == series:
            hours.setdefault(part, set()).add(hour)
    if not hours:
        return None
    part = max(hours, key=order_of)
    return Newest(part, tuple(hours[part]))
