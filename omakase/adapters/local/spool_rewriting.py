"""Records in a spool, changed where they lie, while the service that owns it runs or when it does not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from omakase.adapters.local.files import disk_errors, write_whole
from omakase.adapters.local.spool import HEADER, SUFFIX, checksum
from omakase.adapters.local.spool_reader import SpoolReader, committed_of, has_ended, read_body
from omakase.core.errors import InvalidInput, Unavailable


@dataclass(frozen=True, slots=True)
class Rewritten:
    """How many records were changed, and how many wait to be shipped and could not be touched."""

    changed: int = 0
    waiting: int = 0

    def __add__(self, other: Rewritten) -> Rewritten:
        return Rewritten(self.changed + other.changed, self.waiting + other.waiting)

    def refuse_waiting(self, service: str) -> None:
        """Raises: Unavailable if some wait."""
        if self.waiting:
            raise Unavailable(
                f"{self.waiting} delivery records of {service} wait for tracking: call again when they are shipped"
            )


def rewrite_spool(directory: Path, mentioning: Sequence[bytes], change: Callable[[bytes], bytes]) -> Rewritten:
    """Change every record that holds one of these texts. `change` must keep its length, for readers count in bytes.

    What was shipped, and lies in a segment that still grows, nobody reads again: it is overwritten. What is still to
    be shipped is changed only while its service is away. Guarantees: a record that is to be shipped is the old one or
    the new one, whoever dies. Raises: Unavailable; InvalidInput if a length changes.
    """
    with disk_errors(f"rewrite the spool {directory}"):
        reader = SpoolReader(directory)
        try:
            reader.read(0)
            is_alone = True
        except Unavailable:  # its service ships from it
            is_alone = False
        try:
            found = Rewritten()
            for path in sorted(directory.glob(f"*{SUFFIX}")):
                shipped = committed_of(directory).get(path.name, 0)
                found += _rewrite(path, shipped, mentioning, change, is_alone=is_alone)
            return found
        finally:
            reader.close()


def _rewrite(
    path: Path, shipped: int, mentioning: Sequence[bytes], change: Callable[[bytes], bytes], *, is_alone: bool
) -> Rewritten:
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # shipped and removed meanwhile
        return Rewritten()
    fresh = bytearray(content)
    named = [(at, body) for at, body in _records(path) if any(text in body for text in mentioning)]
    old = [(at, body) for at, body in named if at + HEADER.size + len(body) <= shipped]
    new = named[len(old) :]
    is_ours = is_alone and _has_ended(path)
    changed = sum(_put(fresh, at, body, change(body)) for at, body in (named if is_ours else old))
    if new and is_ours:
        write_whole(path, bytes(fresh))
        return Rewritten(changed)
    with path.open("r+b") as file:
        for at, body in old:
            file.seek(at)
            file.write(fresh[at : at + HEADER.size + len(body)])
        file.flush()
        os.fsync(file.fileno())
    return Rewritten(changed, len(new))


def _put(content: bytearray, at: int, before: bytes, after: bytes) -> bool:
    if len(after) != len(before):
        raise InvalidInput(f"a record of {len(before)} bytes must keep its length, not have {len(after)}")
    content[at : at + HEADER.size + len(after)] = HEADER.pack(len(after), checksum(after)) + after
    return after != before


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every record up to the first that is not whole, with where its header begins."""
    with path.open("rb") as file:
        at = 0
        while (body := read_body(file, file.read(HEADER.size))) is not None:
            yield at, body
            at += HEADER.size + len(body)


def _has_ended(path: Path) -> bool:
    with path.open("rb") as file:
        return has_ended(file)
