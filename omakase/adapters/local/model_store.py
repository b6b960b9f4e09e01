"""Model snapshots as files: one directory per key.

    lock                    held while publishing
    7.snapshot              generation 7: a checksum, then the snapshot; never changed once it is there
    newest                  the pointer, the decimal number of the newest generation

What lies above the pointer, or carries a temporary name, is what a writer left that died: nobody reads it, and the next
one removes it.
"""

from __future__ import annotations

import re
import time
from hashlib import blake2b
from pathlib import Path
from urllib.parse import unquote

from omakase.adapters.local.files import TEMPORARY, disk_errors, locked, write_whole
from omakase.adapters.retention import thinned
from omakase.adapters.uri import Uri
from omakase.core.errors import Conflict, Corrupt, InvalidInput, NotFound
from omakase.ports.model_store import ABSENT, Generation, ModelKey

_MAGIC = b"omakase1"
_DIGEST_BYTES = 16
_HEADER_BYTES = len(_MAGIC) + _DIGEST_BYTES
_POINTER = "newest"
_SNAPSHOT = ".snapshot"
_MAX_NAME = 200


class FileModelStore:
    """ModelStore. Keeps the 20 newest snapshots of a key, and the last of each hour for 7 days."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @classmethod
    def from_uri(cls, uri: Uri) -> FileModelStore:
        return cls(uri.path())

    def generation(self, key: ModelKey) -> Generation:
        """See ModelStore. Cost: one small read."""
        with disk_errors(f"read the pointer of model {key!r}"):
            return _pointed(self._home(key))

    def latest(self, key: ModelKey) -> tuple[bytes, Generation] | None:
        """See ModelStore."""
        home = self._home(key)
        with disk_errors(f"read model {key!r}"):
            newest = _pointed(home)
            while newest != ABSENT:
                try:
                    return _snapshot(home, newest), newest
                except FileNotFoundError as error:
                    # Thinned between our two reads, if the pointer moved on meanwhile.
                    moved = _pointed(home)
                    if moved == newest:
                        raise Corrupt(f"model {key!r}: generation {newest} is the newest but not there") from error
                    newest = moved
        return None

    def read(self, key: ModelKey, generation: Generation) -> bytes:
        """See ModelStore."""
        home = self._home(key)
        with disk_errors(f"read model {key!r}"):
            if ABSENT < generation <= _pointed(home):
                try:
                    return _snapshot(home, generation)
                except FileNotFoundError:
                    pass
        raise NotFound(f"model {key!r} has no generation {generation}, or keeps it no longer")

    def publish(self, key: ModelKey, snapshot: bytes, *, if_generation: Generation) -> Generation:
        """See ModelStore. Guarantees: survives power loss. Cost: four syncs of the disk."""
        home = self._home(key)
        with disk_errors(f"publish model {key!r}"):
            home.mkdir(parents=True, exist_ok=True)
            with locked(home / "lock"):
                newest = _pointed(home)
                if newest != if_generation:
                    raise Conflict(f"model {key!r} is at generation {newest}, not {if_generation}")
                _sweep(home, newest)
                generation = Generation(newest + 1)
                write_whole(_path(home, generation), _MAGIC + _digest(snapshot) + snapshot)
                write_whole(home / _POINTER, str(generation).encode())
                _thin(home)
        return generation

    def history(self, key: ModelKey) -> list[Generation]:
        """See ModelStore."""
        home = self._home(key)
        with disk_errors(f"list model {key!r}"):
            newest = _pointed(home)
            return sorted((g for g in _kept(home) if g <= newest), reverse=True)

    def keys(self) -> list[ModelKey]:
        """See ModelStore."""
        with disk_errors("list the models"):
            return sorted(ModelKey(unquote(pointer.parent.name)) for pointer in self._directory.glob(f"*/{_POINTER}"))

    def _home(self, key: ModelKey) -> Path:
        # Upper case is escaped as well: the file systems of laptops take "A" and "a" for the same name.
        try:
            name = re.sub(rb"[^a-z0-9_-]", lambda byte: b"%%%02x" % byte[0][0], key.encode()).decode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"model key {key!r} is not text that UTF-8 can hold") from error
        if not 1 <= len(name) <= _MAX_NAME:
            raise InvalidInput(f"model key {key!r} takes {len(name)} characters as a file name, not 1 to {_MAX_NAME}")
        return self._directory / name


def _path(home: Path, generation: Generation) -> Path:
    return home / f"{generation}{_SNAPSHOT}"


def _pointed(home: Path) -> Generation:
    try:
        text = (home / _POINTER).read_bytes()
    except FileNotFoundError:
        return ABSENT
    if not text.isdigit():
        raise Corrupt(f"{home / _POINTER} holds {text[:40]!r}, not a generation")
    return Generation(int(text))


def _snapshot(home: Path, generation: Generation) -> bytes:
    content = _path(home, generation).read_bytes()
    snapshot = content[_HEADER_BYTES:]
    if content[:_HEADER_BYTES] != _MAGIC + _digest(snapshot):
        raise Corrupt(f"{_path(home, generation)} is not what was written: its checksum differs")
    return snapshot


def _digest(snapshot: bytes) -> bytes:
    return blake2b(snapshot, digest_size=_DIGEST_BYTES).digest()


def _kept(home: Path) -> list[Generation]:
    names = (path.stem for path in home.glob(f"*{_SNAPSHOT}"))
    return [Generation(int(name)) for name in names if name.isdecimal()]


def _sweep(home: Path, newest: Generation) -> None:
    for generation in _kept(home):
        if generation > newest:
            _path(home, generation).unlink()
    for temporary in home.glob(f".*{TEMPORARY}"):
        temporary.unlink()


def _thin(home: Path) -> None:
    published = [(generation, _path(home, generation).stat().st_mtime) for generation in _kept(home)]
    for generation in thinned(published, time.time()):
        _path(home, generation).unlink()
