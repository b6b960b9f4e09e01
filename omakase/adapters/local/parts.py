"""The part files of one warehouse table: `hour=<start>/<part>.<version>.parquet`, a part's files shown all at once.

A version is random and never comes again. A part that is written again gets new names, so that a reader with an older
list finds a file gone, and lists anew, instead of reading one hour of the new part beside another hour of the old.

    .lock                   shared while listing, exclusive while renaming
    .<part>.journal         the renames of a part that has several files, until all are done
    hour=3600/.<…>.tmp      written, not shown
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omakase.adapters.local.files import locked, sync, temporary_beside, write_whole

_SUFFIX = ".parquet"
_JOURNAL = ".journal"


@dataclass(frozen=True, slots=True)
class _Change:
    """The renames and removals that show a part. Paths are relative: a data directory may move."""

    renames: dict[str, str]
    removals: list[str]

    @property
    def steps(self) -> int:
        return len(self.renames) + len(self.removals)

    def to_json(self) -> bytes:
        return json.dumps({"renames": self.renames, "removals": self.removals}).encode()

    def apply(self, directory: Path) -> None:
        """Guarantees: idempotent, for the one who died may have done some of it."""
        for source, target in self.renames.items():
            try:
                os.replace(directory / source, directory / target)
            except FileNotFoundError:
                if not (directory / target).exists():
                    raise
        for path in self.removals:
            (directory / path).unlink(missing_ok=True)
        for home in {(directory / path).parent for path in (*self.renames.values(), *self.removals)}:
            sync(home)


class Parts:
    """Files that DuckDB reads, under a directory of their own.

    Guarantees: `files` lists all files of a part or none, whoever dies while publishing: a publisher that got as far
    as its journal is completed by whoever comes next; before that nothing was shown.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = directory / ".lock"

    def staging(self, hour: int, part: str) -> Path:
        """Where to write one hour's rows of a part before they are published."""
        home = self._directory / f"hour={hour}"
        home.mkdir(parents=True, exist_ok=True)
        return temporary_beside(home / f"{part}{_SUFFIX}")

    def publish(self, part: str, staged: Mapping[int, Path]) -> None:
        """Show the files of a part, one per hour, in place of those it had."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with locked(self._lock):
            self._complete()
            before = sorted(map(self._relative, self._directory.glob(f"hour=*/{part}.*{_SUFFIX}")))
            version = secrets.token_hex(8)
            new = {self._relative(path): f"hour={hour}/{part}.{version}{_SUFFIX}" for hour, path in staged.items()}
            change = _Change(new, before)
            journal = self._directory / f".{part}{_JOURNAL}"
            for path in staged.values():
                sync(path)
            # One rename is whole by itself.
            if change.steps > 1:
                write_whole(journal, change.to_json())
            change.apply(self._directory)
            journal.unlink(missing_ok=True)

    def discard(self, staged: Mapping[int, Path]) -> None:
        """Remove staged files after a failure, unless a journal already promises them."""
        with locked(self._lock):
            self._complete()
            for path in staged.values():
                path.unlink(missing_ok=True)

    def files(self) -> list[str]:
        """The paths of every file shown at one moment, by hour and name. They may go when a part is written again."""
        with self.pinned() as files:
            return files

    @contextmanager
    def pinned(self) -> Iterator[list[str]]:
        """The same, and none goes while the context is open: publishers wait."""
        if not self._directory.exists():
            yield []
            return
        while True:
            with locked(self._lock, shared=True):
                if not self._journals():
                    yield sorted(map(str, self._directory.glob(f"hour=*/[!.]*{_SUFFIX}")))
                    return
            with locked(self._lock):
                self._complete()

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self._directory))

    def _journals(self) -> list[Path]:
        return list(self._directory.glob(f".*{_JOURNAL}"))

    def _complete(self) -> None:
        """Finish what a publisher began that died. The lock is held."""
        for journal in self._journals():
            _Change(**json.loads(journal.read_bytes())).apply(self._directory)
            journal.unlink()
