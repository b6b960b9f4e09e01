"""Changes of a catalogue as objects of a bucket: JSON lines in compressed parts, written and read one by one."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from omakase.adapters.gcp.storage.catalogue_manifest import Run
from omakase.adapters.gcp.storage.objects import Objects, Stored
from omakase.core.catalogue import Item
from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.values import facts_of

PARTS = "parts/"
PART_BYTES = 4 << 20  # before it is compressed
_GZIP = 31
_LEVEL = 3

Row: TypeAlias = tuple[str, dict[str, Any], float | None, bool, bool, int | None]
_encode = msgspec.json.Encoder().encode
_decode_row = msgspec.json.Decoder(Row).decode
_decode_name = msgspec.json.Decoder(tuple[str, msgspec.Raw, float | None, bool, bool, int | None]).decode
_decode_removed = msgspec.json.Decoder(str).decode


class Retired(Exception):
    """A part is there no longer: the manifest that named it is an old one."""


class Runs:
    """Raises, all of it: Unavailable; and Corrupt where it reads."""

    def __init__(self, objects: Objects, part_bytes: int = PART_BYTES) -> None:
        self._objects = objects
        self._part_bytes = part_bytes

    def write(self, token: str, removed: Iterable[str], rows: Iterable[tuple[str, bytes]]) -> list[Run]:
        """Takes ids and lines one by one, and keeps the ids. Returns no run where there is nothing; a second one where
        an id came again: its first place, its last form. Their generation is the manifest's to give.

        Guarantees: nothing is left of it if a source raises. Cost: one request a part.
        """
        written = _Written(self._objects, token, self._part_bytes)
        try:
            for item_id in removed:
                written.add(_encode(item_id), is_removed=True)
            seen: set[str] = set()
            again: dict[str, bytes] = {}
            for item_id, line in rows:
                if item_id in seen:
                    again[item_id] = line
                else:
                    seen.add(item_id)
                    written.add(line)
            written.end()
            for line in again.values():
                written.add(line)
            written.end()
        except BaseException:
            self._objects.drop(part.name for run in written.runs for part in run.parts)
            self._objects.drop(part.name for part in written.parts)
            raise
        return written.runs

    def drop(self, runs: Iterable[Run]) -> None:
        """Never raises."""
        self._objects.drop(part.name for run in runs for part in run.parts)

    def rows(self, run: Run) -> Iterator[bytes]:
        """Those of its items; as `lines`."""
        return (line for line in self.lines(run) if not _is_removal(line))

    def lines(self, run: Run) -> Iterator[bytes]:
        """Raises: Retired. Cost: one request a part, and the memory of one."""
        for part in run.parts:
            content = self._objects.fetch(part)
            if content is None:
                raise Retired(part.name)
            try:
                yield from zlib.decompress(content, _GZIP).split(b"\n")
            except zlib.error as error:
                raise Corrupt(f"{part.name} is not what was written: {error}") from error

    def merged(self, runs: Sequence[Run]) -> tuple[list[str], Iterator[tuple[str, bytes]]]:
        """What was removed, and id and line of every item, as one run would have them.

        Cost: the memory of all but the first run. Raises, also while the items are taken: Retired.
        """
        oldest, *younger = runs
        removed, changed = self._changes(younger)
        lines = self.lines(oldest)
        gone = dict.fromkeys(_removed_id(next(lines)) for _ in range(oldest.removed)) | removed

        def rows() -> Iterator[tuple[str, bytes]]:
            for line in lines:
                item_id = _id_of(line)
                if item_id not in removed:
                    yield item_id, changed.pop(item_id, line)
            yield from changed.items()

        return list(gone), rows()

    def _changes(self, runs: Sequence[Run]) -> tuple[dict[str, None], dict[str, bytes]]:
        removed: dict[str, None] = {}
        changed: dict[str, bytes] = {}
        for run in runs:
            for line in self.lines(run):
                if _is_removal(line):
                    item_id = _removed_id(line)
                    changed.pop(item_id, None)
                    removed[item_id] = None
                else:
                    changed[_id_of(line)] = line
        return removed, changed


class _Written:
    """Runs under way. `parts` are those of the last one."""

    def __init__(self, objects: Objects, token: str, part_bytes: int) -> None:
        self.runs: list[Run] = []
        self.parts: list[Stored] = []
        self._objects = objects
        self._token = token
        self._part_bytes = part_bytes
        self._count = 0
        self._lines: list[bytes] = []
        self._bytes = self._rows = self._removed = 0

    def add(self, line: bytes, *, is_removed: bool = False) -> None:
        self._lines.append(line)
        self._bytes += len(line)
        self._removed += is_removed
        self._rows += not is_removed
        if self._bytes >= self._part_bytes:
            self._flush()

    def end(self) -> None:
        """What was added since the last time is a run."""
        if self._lines:
            self._flush()
        if self.parts:
            self.runs.append(Run(0, self._rows, self._removed, tuple(self.parts)))
        self.parts, self._rows, self._removed = [], 0, 0

    def _flush(self) -> None:
        packing = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        content = packing.compress(b"\n".join(self._lines)) + packing.flush()
        self.parts.append(self._objects.create(f"{PARTS}{self._token}-{self._count}", content))
        self._count += 1
        self._lines, self._bytes = [], 0


def row_of(item: Item) -> tuple[str, bytes]:
    """Raises: InvalidFeature for a fact that could not be read back."""
    facts = facts_of(item.metadata)
    return item.item_id, _encode((item.item_id, facts, item.value, item.in_stock, item.hidden, item.stock))


def item_of(line: bytes) -> Item:
    """Raises: Corrupt."""
    try:
        item_id, facts, value, in_stock, hidden, stock = _decode_row(line)
        return Item(item_id, facts_of(facts), value, in_stock, hidden, stock)
    except (msgspec.MsgspecError, InvalidInput) as error:
        raise Corrupt(f"a stored item cannot be read: {error}") from error


def _id_of(line: bytes) -> str:
    try:
        return _decode_name(line)[0]
    except msgspec.MsgspecError as error:
        raise Corrupt(f"a stored item cannot be read: {error}") from error


def _removed_id(line: bytes) -> str:
    try:
        return _decode_removed(line)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"a stored removal cannot be read: {error}") from error


def _is_removal(line: bytes) -> bool:
    return line.startswith(b'"')
