"""The part files of one warehouse table: `hour=<start>/<part>.<version>.parquet`, a part's files shown all at once.

A version is random and never comes again. A part that is written again gets new names, so that a reader with an older
list finds a file gone, and lists anew, instead of reading one hour of the new part beside another hour of the old.

    .lock                   shared while listing, exclusive while renaming
    .upkeep.lock            held by whoever merges, rewrites or drops files
    .journal                the renames of one change that has several, until all are done
    .newest/                the newest part of each series
    hour=3600/.<…>.tmp      written, not shown
    hour=3600/+.<…>.parquet the rows of several parts that nobody writes again
    .gone/                  files and whole hours that are not shown any more, to be deleted without the lock
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omakase.adapters.local.files import TEMPORARY, locked, sync, temporary_beside, write_whole
from omakase.adapters.local.series import Newest, SeriesIndex, newest_of, series_of
from omakase.core.errors import InvalidInput

# A name that no part can have.
MERGED = "+"

# A merged file is not merged again from half of this on. More files in one swap would hold up appends for longer.
MAX_MERGED_BYTES = 64 * 2**20
MAX_MERGED_FILES = 256

_SUFFIX = ".parquet"
_GONE = ".gone"
_ABANDONED_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Change:
    """Renames and removals that are seen together. Paths are relative: a data directory may move."""

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
            _remove(directory / path, directory / _GONE)
        for home in {(directory / path).parent for path in (*self.renames.values(), *self.removals)}:
            sync(home)


def _remove(path: Path, gone: Path) -> None:
    # To delete hundreds of files takes up to a second on a busy disk, to rename them milliseconds.
    try:
        gone.mkdir(exist_ok=True)
        # Not a name that a person's `*/*.parquet` would match.
        os.replace(path, gone / f"{path.name}{TEMPORARY}")
    except OSError:
        # It is gone already, or the disk is full, which may leave no room for a name but always for a deletion.
        path.unlink(missing_ok=True)


class Parts:
    """Files that DuckDB reads, under a directory of their own.

    Guarantees: `files` lists all files of a change or none, whoever dies while making it: one that got as far as its
    journal is completed by whoever comes next; before that nothing was shown.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = directory / ".lock"
        self._journal = directory / ".journal"
        self._index = SeriesIndex(directory / ".newest")

    def staging(self, hour: int, part: str) -> Path:
        """Where to write one hour's rows of a part before they are published."""
        home = self._home(hour)
        home.mkdir(parents=True, exist_ok=True)
        return temporary_beside(home / f"{part}{_SUFFIX}")

    def publish(self, part: str, staged: Mapping[int, Path]) -> None:
        """Show the files of a part, one per hour, in place of those it had.

        Raises: InvalidInput for a part that is not the newest of its series. Cost: whatever the number of files.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        for path in staged.values():
            sync(path)
        with locked(self._lock):
            self._complete()
            known = self._newest(series_of(part))
            if known and known.is_after(part):
                raise InvalidInput(
                    f"part {part!r} is older than {known.part!r}: only the newest part of a series is written again"
                )
            hours = set(known.hours) if known and known.part == part else set()
            before = [path for hour in hours for name, path in self._shown(hour) if name == part]
            # First the index: a part that is shown and not known would not be found, and so not be replaced.
            if not hours.issuperset(staged):
                self._index.write(Newest(part, tuple(hours.union(staged))))
            self._change({path: (hour, part) for hour, path in staged.items()}, before)
        if before:
            self._delete()

    def discard(self, staged: Iterable[Path]) -> None:
        """Remove staged files after a failure, unless a journal already promises them."""
        with locked(self._lock):
            self._complete()
            for path in staged:
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
                if not self._journal.exists():
                    yield sorted(path for hour in self._hours() for _, path in self._shown(hour))
                    return
            with locked(self._lock):
                self._complete()

    @contextmanager
    def upkeep(self) -> Iterator[None]:
        """Keep other upkeep away, in every process. Appends and readers go on. Removes what the dead have left."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with locked(self._directory / ".upkeep.lock"):
            with locked(self._lock):
                self._complete()
            self._delete()
            yield

    def mergeable(self) -> Iterator[list[str]]:
        """Files worth merging, each time of one hour: small ones, of parts that nobody writes again."""
        newest: dict[str, Newest | None] = {}
        for hour in self._hours():
            small = []
            for part, path in self._shown(hour):
                series = series_of(part)
                if part != MERGED and series not in newest:
                    newest[series] = self._newest(series)
                known = newest.get(series)
                is_final = part == MERGED or (known is not None and known.is_after(part))
                if is_final and (size := os.stat(path).st_size) < MAX_MERGED_BYTES / 2:
                    small.append((size, path))
            yield from _packed(small)

    def replace(self, staged: Path, files: Iterable[str]) -> bool:
        """Show `staged` in place of `files`, of the same hour: under the part's name if it is one file, else merged.

        Returns False, and shows nothing, if one of the files is no longer there.
        """
        sync(staged)
        files = list(files)
        name = Path(files[0]).name.partition(".")[0] if len(files) == 1 else MERGED
        hour = int(staged.parent.name.removeprefix("hour="))
        with locked(self._lock):
            self._complete()
            if not all(map(os.path.exists, files)):
                staged.unlink()
                return False
            self._change({staged: (hour, name)}, files)
        self._delete()
        return True

    def expire(self, before_hour: int) -> int:
        """Drop the hours before `before_hour`, each as a whole. Returns how many there were."""
        expired = [hour for hour in self._hours() if hour < before_hour]
        gone = self._directory / _GONE
        gone.mkdir(exist_ok=True)
        with locked(self._lock):
            self._complete()
            for hour in expired:
                os.rename(self._home(hour), gone / f"hour={hour}.{secrets.token_hex(8)}")
            sync(self._directory)
        self._delete()
        return len(expired)

    def sweep(self) -> None:
        """Remove what writers left that died long ago."""
        limit = time.time() - _ABANDONED_S
        with locked(self._lock):
            # What a journal promises is no longer temporary.
            self._complete()
            for hour in self._hours():
                with os.scandir(self._home(hour)) as entries:
                    for entry in entries:
                        if entry.name.endswith(TEMPORARY) and entry.stat().st_mtime < limit:
                            os.unlink(entry)

    def _home(self, hour: int) -> Path:
        return self._directory / f"hour={hour}"

    def _hours(self) -> list[int]:
        with os.scandir(self._directory) as entries:
            names = [entry.name.removeprefix("hour=") for entry in entries if entry.name.startswith("hour=")]
        return sorted(int(name) for name in names if name.removeprefix("-").isdecimal())

    def _shown(self, hour: int) -> list[tuple[str, str]]:
        """Every file of an hour that is shown, with the part it is of."""
        home = str(self._home(hour))
        try:
            names = os.listdir(home)
        except FileNotFoundError:
            return []
        return [
            (name.partition(".")[0], f"{home}/{name}")
            for name in names
            if name.endswith(_SUFFIX) and not name.startswith(".")
        ]

    def _newest(self, series: str) -> Newest | None:
        known = self._index.read(series)
        if known is None:
            known = newest_of(series, ((part, hour) for hour in self._hours() for part, _ in self._shown(hour)))
        return known

    def _change(self, shown: Mapping[Path, tuple[int, str]], removed: Iterable[str]) -> None:
        """Rename files to new versions of hours' parts and remove others. The lock is held."""
        version = secrets.token_hex(8)
        change = _Change(
            {self._relative(path): f"hour={hour}/{part}.{version}{_SUFFIX}" for path, (hour, part) in shown.items()},
            sorted(map(self._relative, removed)),
        )
        # One rename is whole by itself.
        if change.steps > 1:
            write_whole(self._journal, change.to_json())
        change.apply(self._directory)
        self._journal.unlink(missing_ok=True)

    def _delete(self) -> None:
        """Delete what is not shown any more. Several may."""
        gone = self._directory / _GONE
        for name in os.listdir(gone) if gone.exists() else ():
            if name.startswith("hour="):
                shutil.rmtree(gone / name, ignore_errors=True)
            else:
                (gone / name).unlink(missing_ok=True)

    def _relative(self, path: str | Path) -> str:
        return os.path.relpath(path, self._directory)

    def _complete(self) -> None:
        """Finish what a publisher began that died. The lock is held."""
        if self._journal.exists():
            _Change(**json.loads(self._journal.read_bytes())).apply(self._directory)
            self._journal.unlink()


def _packed(files: list[tuple[int, str]]) -> list[list[str]]:
    """Files by size, cut into groups that are small enough to merge and more than one file each."""
    groups: list[list[str]] = [[]]
    total = 0
    for size, path in sorted(files):
        if total + size > MAX_MERGED_BYTES or len(groups[-1]) == MAX_MERGED_FILES:
            groups.append([])
            total = 0
        groups[-1].append(path)
        total += size
    return [group for group in groups if len(group) > 1]
