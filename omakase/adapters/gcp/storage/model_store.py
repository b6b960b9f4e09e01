"""Model snapshots in a bucket.

    pointers/KEY                 names the newest snapshot and those that are kept; changed by compare-and-swap
    snapshots/KEY/7-TOKEN        generation 7, as one writer would have it; never changed once it is there

A snapshot that no pointer names is what a writer left that died or came too late: nobody reads it, and a day later a
writer removes it.
"""

from __future__ import annotations

import logging
import time
from urllib.parse import quote, unquote

import msgspec

from omakase.adapters.gcp.storage.objects import Objects, Stored, fresh_token, holding
from omakase.adapters.retention import thinned
from omakase.adapters.uri import Uri
from omakase.core.errors import Conflict, Corrupt, InvalidInput, NotFound
from omakase.ports.model_store import ABSENT, Generation, ModelKey

log = logging.getLogger(__name__)

_POINTERS, _SNAPSHOTS = "pointers/", "snapshots/"
_MAX_NAME = 400
_SWEEP_EVERY = 100  # generations


class _Kept(msgspec.Struct, frozen=True):
    """Units: `at` in Unix seconds."""

    generation: Generation
    snapshot: Stored
    at: float


class _Pointer(msgspec.Struct, frozen=True):
    """`kept` is newest first; `version` is that of GCS, which is not written."""

    kept: tuple[_Kept, ...] = ()
    version: int = 0

    @property
    def newest(self) -> Generation:
        return self.kept[0].generation if self.kept else ABSENT


class GcsModelStore:
    """ModelStore. Keeps the 20 newest snapshots of a key, and the last of each hour for 7 days."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    @classmethod
    def from_uri(cls, uri: Uri) -> GcsModelStore:
        """`gs://BUCKET/PREFIX`."""
        return cls(Objects.from_uri(uri))

    def generation(self, key: ModelKey) -> Generation:
        """See ModelStore. Cost: one small request."""
        return Generation(self._objects.generation(_pointer_of(key)))

    def latest(self, key: ModelKey) -> tuple[bytes, Generation] | None:
        """See ModelStore. Cost: two requests."""
        pointer = self._look(key)
        while pointer.kept:
            newest = pointer.kept[0]
            content = self._objects.fetch(newest.snapshot)
            if content is not None:
                return content, newest.generation
            # Thinned between our two reads, if the pointer moved on meanwhile.
            pointer = self._look(key)
            if pointer.newest == newest.generation:
                raise Corrupt(f"model {key!r}: generation {newest.generation} is the newest but not there")
        return None

    def read(self, key: ModelKey, generation: Generation) -> bytes:
        """See ModelStore. Cost: two requests."""
        for kept in self._look(key).kept:
            if kept.generation == generation and (content := self._objects.fetch(kept.snapshot)) is not None:
                return content
        raise NotFound(f"model {key!r} has no generation {generation}, or keeps it no longer")

    def publish(self, key: ModelKey, snapshot: bytes, *, if_generation: Generation) -> Generation:
        """See ModelStore. Cost: four requests; GCS takes about one publication a second of a key."""
        name, token = _pointer_of(key), fresh_token()
        before = self._look(key)
        if before.newest != if_generation:
            raise Conflict(f"model {key!r} is at generation {before.newest}, not {if_generation}")
        generation = Generation(if_generation + 1)
        stored = self._objects.create(f"{_folder_of(key)}{generation}-{token}", snapshot)
        published = (_Kept(generation, stored, time.time()), *before.kept)
        dropped = thinned(((kept.generation, kept.at) for kept in published), published[0].at)
        after = _Pointer(tuple(kept for kept in published if kept.generation not in dropped))
        try:
            content, ours = _encode(after.kept), holding(token)
            self._objects.swap(name, content, if_version=before.version, is_ours=ours, generation=generation)
        except Conflict:
            self._objects.drop([stored.name])
            raise
        self._objects.drop(kept.snapshot.name for kept in published if kept.generation in dropped)
        if generation % _SWEEP_EVERY == 0:
            self._objects.sweep(_folder_of(key), {kept.snapshot.name for kept in after.kept}, name)
        return generation

    def history(self, key: ModelKey) -> list[Generation]:
        """See ModelStore. Cost: one request."""
        return [kept.generation for kept in self._look(key).kept]

    def keys(self) -> list[ModelKey]:
        """See ModelStore. Cost: one request a thousand."""
        return sorted(ModelKey(unquote(name.removeprefix(_POINTERS))) for name in self._objects.names(_POINTERS))

    def _look(self, key: ModelKey) -> _Pointer:
        seen = self._objects.look(_pointer_of(key))
        if not seen.version:
            return _Pointer()
        try:
            return _Pointer(_decode(seen.content), seen.version)
        except msgspec.MsgspecError as error:
            raise Corrupt(f"the pointer of model {key!r} is not what was written: {error}") from error


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[_Kept, ...]).decode


def _pointer_of(key: ModelKey) -> str:
    return f"{_POINTERS}{_quoted(key)}"


def _folder_of(key: ModelKey) -> str:
    return f"{_SNAPSHOTS}{_quoted(key)}/"


def _quoted(key: ModelKey) -> str:
    try:
        # Names that are one or two dots mean something else to most tools.
        name = quote(key, safe="").replace(".", "%2E")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"model key {key!r} is not text that UTF-8 can hold") from error
    if not 1 <= len(name) <= _MAX_NAME:
        raise InvalidInput(f"model key {key!r} takes {len(name)} characters as a name, not 1 to {_MAX_NAME}")
    return name
