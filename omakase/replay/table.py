"""A CSV file with a header, plain or gzipped, read row by row with its line numbers."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from omakase.core.errors import InvalidInput, NotFound

_GZIP_MAGIC = b"\x1f\x8b"
MAX_FAULTS = 20


class Faults:
    """What is wrong with a file, line by line: a person mends several faults at once, but not ten thousand."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[str] = []

    def add(self, line: int, fault: str) -> None:
        """Raises: InvalidInput with all faults so far once there are MAX_FAULTS."""
        self._found.append(f"{self._path}, line {line}: {fault}")
        if len(self._found) == MAX_FAULTS:
            self._found.append("… and perhaps more: the rest was not read")
            self.raise_if_any()

    def raise_if_any(self) -> None:
        if self._found:
            raise InvalidInput("\n".join(self._found))


class Table:
    """An open CSV file. Guarantees: holds one row at a time; knows gzip by its first bytes, not by its name."""

    def __init__(self, path: Path, required: Sequence[str]) -> None:
        """Raises: NotFound; InvalidInput if the file is no CSV with all `required` columns."""
        self._path = path
        self._file = _open(path)
        self._reader = csv.reader(self._file, strict=True)
        try:
            first = next(iter(self._lines()), None)
            self.header: list[str] = first[1] if first else []
            missing = [name for name in required if name not in self.header]
            if missing:
                raise InvalidInput(
                    f"{path}, line 1: no column {', '.join(missing)}; the first line must name the columns "
                    f"{', '.join(required)}"
                )
            if len({name for name in self.header if name}) < len([name for name in self.header if name]):
                raise InvalidInput(f"{path}, line 1: a column is named twice")
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def rows(self, faults: Faults) -> Iterator[tuple[int, list[str]]]:
        """Line number and cells of every row that is as wide as the header; the others become faults."""
        width = len(self.header)
        for line, row in self._lines():
            if len(row) == width:
                yield line, row
            else:
                faults.add(line, f"{len(row)} cells under {width} columns: is the line cut off, or a comma unquoted?")

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        reader = self._reader
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except UnicodeDecodeError:
            raise InvalidInput(f"{self._path}, after line {reader.line_num}: not UTF-8; save it as UTF-8") from None
        except csv.Error as error:
            raise InvalidInput(f"{self._path}, line {reader.line_num}: not CSV: {error}") from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InvalidInput(
                f"{self._path}, after line {reader.line_num}: the gzip data is damaged or cut off ({error}); "
                "fetch the file again"
            ) from None


def _open(path: Path) -> IO[str]:
    try:
        with path.open("rb") as start:
            is_gzip = start.read(2) == _GZIP_MAGIC
        raw = gzip.GzipFile(path, "rb") if is_gzip else path.open("rb")
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file") from None
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from error
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
