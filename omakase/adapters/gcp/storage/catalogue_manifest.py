"""What a catalogue in a bucket is made of: runs of changes, oldest first, named by one small object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from omakase.adapters.gcp.storage.objects import Stored
from omakase.core.errors import Corrupt

MOST_RUNS = 32
# Readers are seldom further behind: these stay apart, so that nobody reads what he has already.
NEWEST_APART = 8
# A run is merged with younger ones when those hold an eighth of its items: then each is rewritten a few times at most.
GROWTH = 8
_REMEMBERED = 64


class Run(msgspec.Struct, frozen=True):
    """Changes up to the generation `until`: first what was removed, then `rows` items in the order in which they came.

    No item is in it twice. An item that an older run has keeps its place, unless it was removed here.
    """

    until: int
    rows: int
    removed: int
    parts: tuple[Stored, ...]


class Manifest(msgspec.Struct, frozen=True):
    """`removed` is the generation of the last removal; `writes` are the tokens of the last writers."""

    generation: int = 0
    removed: int = 0
    runs: tuple[Run, ...] = ()
    writes: tuple[str, ...] = ()

    def followed_by(self, runs: Sequence[Run], token: str) -> Manifest:
        """One generation more, by these runs."""
        generation = self.generation + 1
        added = tuple(msgspec.structs.replace(run, until=generation) for run in runs)
        is_removal = any(run.removed for run in runs)
        writes = (*self.writes, token)[-_REMEMBERED:]
        return Manifest(generation, generation if is_removal else self.removed, (*self.runs, *added), writes)

    def since(self, generation: int) -> tuple[Run, ...]:
        """What may have changed after that generation, and something of before where runs were merged."""
        return tuple(run for run in self.runs if run.until > generation)

    def due(self) -> tuple[Run, ...]:
        """Neighbours that are to become one run; none while there are few."""
        if len(self.runs) <= MOST_RUNS:
            return ()
        settled = self.runs[:-NEWEST_APART]
        first, sizes = len(settled) - 1, [run.rows + run.removed for run in settled]
        total = sizes[first]
        while first and sizes[first - 1] <= GROWTH * total:
            first -= 1
            total += sizes[first]
        return settled[first:]

    def merged(self, runs: tuple[Run, ...], into: Sequence[Run], token: str) -> Manifest | None:
        """With `into` in place of these neighbours, at the same generation; None if they are there no longer."""
        starts = [i for i, run in enumerate(self.runs) if run == runs[0]]
        if not starts or self.runs[starts[0] : starts[0] + len(runs)] != runs:
            return None
        start = starts[0]
        kept = (*self.runs[:start], *into, *self.runs[start + len(runs) :])
        return Manifest(self.generation, self.removed, kept, (*self.writes, token)[-_REMEMBERED:])

    def parts(self) -> set[str]:
        """The names of all objects that it is made of."""
        return {part.name for run in self.runs for part in run.parts}


@dataclass(frozen=True, slots=True)
class Dated:
    """A manifest and its version in the bucket, 0 where there is none yet."""

    manifest: Manifest
    version: int


encode_manifest = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Manifest).decode


def decode_manifest(content: bytes, where: str) -> Manifest:
    """Raises: Corrupt."""
    try:
        return _decode(content)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"the manifest of {where} is not what was written: {error}") from error
