"""Informed priors: what is known of items' click rates before they are shown, from a file of α and β per item."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from omakase.config.text import read_text
from omakase.core.errors import InvalidConfig

# What becomes of a line: item id, α, β; or what is wrong with it.
Line: TypeAlias = tuple[str, object, object] | str

_COLUMNS = ("item_id", "alpha", "beta")
_LEAST, _MOST = 1e-6, 1e9
_MOST_FAULTS = 20


def read_priors(path: Path) -> dict[str, tuple[float, float]]:
    """α and β by item id, from CSV with a header or from one JSON object a line, as the file's name ends.

    Raises: InvalidConfig with the first faults, each as `file:line: what is wrong`.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise InvalidConfig([f"{path}: must end in {', '.join(_READERS)}: it is told by its name how to read it"])
    priors: dict[str, tuple[float, float]] = {}
    seen: dict[str, int] = {}
    faults: list[str] = []
    for number, line in read(read_text(path)):
        fault = line if isinstance(line, str) else _take(line, number, priors, seen)
        if fault:
            faults.append(f"{path}:{number}: {fault}")
        if len(faults) == _MOST_FAULTS:
            break
    if not faults and not priors:
        faults = [f"{path}:1: has no items: each needs {', '.join(_COLUMNS)}"]
    if faults:
        raise InvalidConfig(faults)
    return priors


def _take(
    line: tuple[str, object, object], number: int, priors: dict[str, tuple[float, float]], seen: dict[str, int]
) -> str | None:
    item_id, *amounts = line
    if not 1 <= len(item_id) <= 256:
        return f"item_id must have 1 to 256 characters, not {len(item_id)}"
    if item_id in seen:
        return f"item {item_id!r} is given twice, first in line {seen[item_id]}"
    numbers = [_number(amount) for amount in amounts]
    for name, amount, found in zip(_COLUMNS[1:], amounts, numbers, strict=True):
        if found is None or not _LEAST <= found <= _MOST:
            return f"{name} must be a number from {_LEAST:f} to {_MOST:.0f}, not {str(amount)[:40]!r}"
    seen[item_id] = number
    priors[item_id] = (numbers[0] or 0.0, numbers[1] or 0.0)
    return None


def _number(amount: object) -> float | None:
    if isinstance(amount, bool) or not isinstance(amount, (str, int, float)):
        return None
    try:
        return float(amount)
    except (ValueError, OverflowError):
        return None


def _csv(text: str) -> Iterator[tuple[int, Line]]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if sorted(header) != sorted(_COLUMNS):
            yield 1, f"the first line must name the columns {', '.join(_COLUMNS)}"
            return
        places = [header.index(name) for name in _COLUMNS]
        for row in rows:
            if len(row) == len(header):
                item_id, alpha, beta = (row[place].strip() for place in places)
                yield rows.line_num, (item_id, alpha, beta)
            elif row:
                yield rows.line_num, f"has {len(row)} columns, not {len(header)}"
    except csv.Error as error:
        yield rows.line_num, f"is not CSV: {error}"


def _json(text: str) -> Iterator[tuple[int, Line]]:
    # Not splitlines: inside a JSON text other characters than a line feed may stand that it would split at.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _json_line(line)


def _json_line(line: str) -> Line:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict) or entry.keys() != set(_COLUMNS) or not isinstance(entry["item_id"], str):
        return 'must be one JSON object such as {"item_id": "a1", "alpha": 2, "beta": 98}'
    if any(isinstance(entry[name], str) for name in _COLUMNS[1:]):
        return "alpha and beta must be numbers without quotes"
    return entry["item_id"], entry["alpha"], entry["beta"]


_READERS: Mapping[str, Callable[[str], Iterator[tuple[int, Line]]]] = {".csv": _csv, ".json": _json, ".ndjson": _json}
