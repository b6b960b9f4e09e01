"""A logged bandit: what a policy showed, with what probability, and whether it was clicked.

The format is the Open Bandit Dataset's: one row is one position of one slate. Source: Saito et al., "Open Bandit
Dataset and Pipeline", NeurIPS 2021 (Datasets and Benchmarks), section 3.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.replay.table import Faults, Table

SLOTS = 3
"""Positions 1 to 3: left, centre and right of the surface that the logs were taken on."""
COLUMNS = ("timestamp", "item_id", "position", "click", "propensity_score")
CONTEXT_PREFIX = "user_feature_"
MISSING = -1
_POSITIONS = {str(position): position for position in range(1, SLOTS + 1)}
_CLICKS = {"0": 0, "1": 1}
_LATEST = 4.1e9  # the year 2099: ids hold milliseconds in six bytes, and tracking refuses what is later


@dataclass(frozen=True, slots=True)
class Log:
    """Every row, in the order of time, in columns: a million rows take some 40 MB.

    Shapes: all arrays (n,); contexts (columns, n) holds indices into `levels` of that column, or MISSING.
    Units: at in Unix seconds; item an index into the items the log was read with; position from 1 to SLOTS;
    propensity is P(item at this position | context) under the policy that was logged, in (0, 1].
    """

    at: NDArray[np.float64]
    item: NDArray[np.int32]
    position: NDArray[np.int8]
    click: NDArray[np.int8]
    propensity: NDArray[np.float64]
    contexts: NDArray[np.int32]
    context_names: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return int(self.at.size)

    def context(self, row: int) -> dict[str, str]:
        """What is known of the person of one row, as a storefront would send it."""
        columns = zip(self.context_names, self.levels, self.contexts[:, row], strict=True)
        return {name: levels[code] for name, levels, code in columns if code != MISSING}


def read_log(path: Path, item_ids: Sequence[str]) -> Log:
    """Read and check the whole file. `user-item_affinity_*` and unknown columns are passed over.

    Raises: InvalidInput naming the lines (the first twenty) and what to change; NotFound if there is no such file.
    Cost: one pass, about 7 µs a row.
    """
    faults = Faults(path)
    with Table(path, required=COLUMNS) as table:
        rows = _Rows(table.header, {item_id: i for i, item_id in enumerate(item_ids)})
        for line, row in table.rows(faults):
            try:
                rows.add(row)
            except ValueError as fault:
                faults.add(line, str(fault))
    faults.raise_if_any()
    if not rows.at:
        raise InvalidInput(f"{path}: no rows under the header")
    return rows.sorted()


class _Rows:
    """Columns that grow. Machine numbers, not objects: a list of dicts would take two gigabytes for a million rows."""

    def __init__(self, header: Sequence[str], items: Mapping[str, int]) -> None:
        self.at = array("d")
        self._item, self._position, self._click, self._propensity = array("i"), array("b"), array("b"), array("d")
        self._places = [header.index(name) for name in COLUMNS]
        self._items = items
        names = [name for name in header if name.startswith(CONTEXT_PREFIX)]
        self._context = [(name, header.index(name), array("i"), dict[str, int]()) for name in names]

    def add(self, row: Sequence[str]) -> None:
        """Take one row, whole or not at all. Raises: ValueError with the fault in words."""
        timestamp, item_id, position, click, propensity = (row[place] for place in self._places)
        at, chance = _time(timestamp), _propensity(propensity)
        if item_id not in self._items:
            raise ValueError(f"item_id {item_id!r} is not in the items file: add it there or drop the row")
        if position not in _POSITIONS:
            raise ValueError(f"position {position!r} must be 1 to {SLOTS}")
        if click not in _CLICKS:
            raise ValueError(f"click {click!r} must be 0 or 1")
        self.at.append(at)
        self._item.append(self._items[item_id])
        self._position.append(_POSITIONS[position])
        self._click.append(_CLICKS[click])
        self._propensity.append(chance)
        for _, place, codes, levels in self._context:
            word = row[place]
            codes.append(levels.setdefault(word, len(levels)) if word else MISSING)

    def sorted(self) -> Log:
        at = np.frombuffer(self.at, dtype=np.float64)
        order = np.argsort(at, kind="stable")
        contexts = [np.frombuffer(codes, dtype=np.int32)[order] for _, _, codes, _ in self._context]
        return Log(
            at=at[order],
            item=np.frombuffer(self._item, dtype=np.int32)[order],
            position=np.frombuffer(self._position, dtype=np.int8)[order],
            click=np.frombuffer(self._click, dtype=np.int8)[order],
            propensity=np.frombuffer(self._propensity, dtype=np.float64)[order],
            contexts=np.array(contexts, dtype=np.int32).reshape(len(contexts), at.size),
            context_names=tuple(name for name, *_ in self._context),
            levels=tuple(tuple(levels) for *_, levels in self._context),
        )


def _time(text: str) -> float:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"timestamp {text!r} must be ISO 8601, such as 2019-11-24 00:01:03+00:00") from None
    if parsed.tzinfo is None:
        raise ValueError(f"timestamp {text!r} has no offset: add one, such as +00:00")
    at = parsed.timestamp()
    if not 0 < at < _LATEST:
        raise ValueError(f"timestamp {text!r} must lie between 1970 and 2099")
    return at


def _propensity(text: str) -> float:
    try:
        chance = float(text)
    except ValueError:
        chance = float("nan")
    if not 0 < chance <= 1:
        raise ValueError(
            f"propensity_score {text!r} must be above 0 and at most 1: a row that could not happen cannot be weighted"
        )
    return chance
