"""The examples of a model in the warehouse, read in chunks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import Corrupt, InvalidFeature, InvalidInput, Unavailable
from omakase.core.features import Factor
from omakase.core.learners import Learner
from omakase.core.posterior import Statistics, Vector
from omakase.core.refolding import ExampleColumns
from omakase.core.training import OUTCOMES
from omakase.ports.model_store import ModelKey
from omakase.ports.warehouse import Cell, Row, Warehouse
from omakase.repairs.reencoding import Encoder

CHUNK = 25_000
_CELLS = (
    "e.context_factor, e.item_factor, e.item_id, e.served_at, e.weight, e.click, e.reward, e.click_before, "
    "e.reward_before"
)
_HOURS = "SELECT hour, count(*) AS n FROM examples AS e WHERE {which} GROUP BY hour ORDER BY hour"
# A slice of the slates of an hour, by two of the random letters that ids end in.
_SLICE = "hour = ? AND substr(request_id, -3, 2) >= ? AND substr(request_id, -3, 2) < ?"
_LETTERS = "".join(sorted("-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"))
_AFTER_ALL = "~"
_PLAIN = f"SELECT {{cells}} FROM (SELECT * FROM examples WHERE {_SLICE}) AS e WHERE {{which}}"  # noqa: S608  our own
# The condition stands on lines of its own, so that a comment at its end ends with it.
_JOINED = f"""
SELECT {{cells}}, d.context, d.metadata, d.request_id IS NOT NULL AS is_known
FROM (SELECT * FROM examples WHERE {_SLICE}) AS e LEFT JOIN (
    SELECT DISTINCT ON (request_id, position) request_id, position, context, metadata, coalesce((
{{exclude}}
    ), false) AS is_excluded
    FROM deliveries WHERE {_SLICE}
) AS d ON e.request_id = d.request_id AND e.position = d.position
WHERE d.is_excluded IS NOT TRUE AND {{which}}
"""  # noqa: S608  our own words
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which examples are wanted: of slates served from `since` until before `until`, but not those of deliveries that
    `exclude`, a SQL condition over the columns of `deliveries`, is true of. Units: Unix seconds.
    """

    since: float = -math.inf
    until: float = math.inf
    exclude: str = ""


@dataclass(slots=True)
class Refolded:
    """Sums of what was read so far, how many rows that were, and how many were left out, by reason."""

    sums: Statistics | None = None
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, examples: ExampleColumns, learner: Learner) -> None:
        self.rows += len(examples)
        if len(examples):
            sums = learner.refold(examples)
            before = Statistics.empty(sums.dimensions) if self.sums is None else self.sums
            self.sums = learner.absorb(before, sums)


class History:
    """One model's examples. With an `encoder`, its features are made anew from the facts that were logged."""

    def __init__(
        self, warehouse: Warehouse, key: ModelKey, choice: Choice, encoder: Encoder | None = None, chunk: int = CHUNK
    ) -> None:
        """Raises: InvalidInput if the condition is none."""
        self._warehouse = warehouse
        self._key = key
        self._choice = choice
        self._encoder = encoder
        self._chunk = chunk
        if choice.exclude:
            try:
                warehouse.query(f"SELECT count(*) AS n FROM deliveries WHERE (\n{choice.exclude}\n)")  # noqa: S608
            except InvalidInput as error:
                raise InvalidInput(f"exclude is no condition over the columns of deliveries: {error}") from error

    def refold(
        self,
        into: Refolded,
        after: Mapping[str, int],
        through: Mapping[str, int],
        learner: Learner,
        on_rows: Progress = lambda *_: None,
    ) -> None:
        """Add the examples of batches above `after` and up to `through` of each shard; tells `on_rows` how far it is.

        Cost: memory for one chunk. Raises: Unavailable if a delivery that is needed is not in the warehouse (yet).
        """
        shards = [shard for shard, last in through.items() if last > after.get(shard, 0)]
        if not shards:
            return
        which, bounds = self._which(shards, after, through)
        hours = self._warehouse.query(_HOURS.format(which=which), bounds)
        total, read = sum(int(row["n"] or 0) for row in hours), 0
        for row in hours:
            hour, n = int(row["hour"] or 0), int(row["n"] or 0)
            slices = math.ceil(n / self._chunk)
            for part in range(slices):
                rows = self._read((hour, _bound(part, slices), _bound(part + 1, slices)), which, bounds)
                into.add(self._columns(rows, into), learner)
            read += n
            on_rows(read, total)

    def _which(
        self, shards: Sequence[str], after: Mapping[str, int], through: Mapping[str, int]
    ) -> tuple[str, list[Cell]]:
        """A condition over `examples`, and its parameters."""
        within = " OR ".join("(e.shard = ? AND e.sequence > ? AND e.sequence <= ?)" for _ in shards)
        cells: list[Cell] = [self._key]
        for shard in shards:
            cells += [shard, after.get(shard, 0), through[shard]]
        which = f"e.model = ? AND ({within})"
        for limit, comparison in ((self._choice.since, ">="), (self._choice.until, "<")):
            if math.isfinite(limit):
                which += f" AND e.served_at {comparison} ?"
                cells.append(limit)
        return which, cells

    def _read(self, part: tuple[int, str, str], which: str, bounds: Sequence[Cell]) -> list[dict[str, Cell]]:
        if not self._choice.exclude and self._encoder is None:
            return self._warehouse.query(_PLAIN.format(cells=_CELLS, which=which), (*part, *bounds))
        sql = _JOINED.format(cells=_CELLS, which=which, exclude=self._choice.exclude or "false")
        rows = self._warehouse.query(sql, (*part, *part, *bounds))
        unknown = sum(not row["is_known"] for row in rows)
        if unknown:
            raise Unavailable(
                f"{unknown} examples of {self._key} served at {_spelt(part[0])} UTC have no row in `deliveries`, so "
                "what to exclude or to encode is not known: wait until `batch` has loaded them, or, if they are gone, "
                "leave that time out"
            )
        return rows

    def _columns(self, rows: list[dict[str, Cell]], into: Refolded) -> ExampleColumns:
        if self._encoder is None:
            contexts, items = _factors(rows, "context_factor"), _factors(rows, "item_factor")
        else:
            rows, made_contexts, made_items = self._encoded(rows, self._encoder, into.left_out)
            contexts, items = _stacked(made_contexts), _stacked(made_items)
        return ExampleColumns(
            contexts,
            items,
            _numbers(rows, "weight"),
            _numbers(rows, "served_at"),
            {name: _numbers(rows, name) for name in OUTCOMES},
            {name: _numbers(rows, f"{name}_before") for name in OUTCOMES},
            [str(row["item_id"]) for row in rows],
        )

    def _encoded(
        self, rows: list[dict[str, Cell]], encoder: Encoder, left_out: Counter[str]
    ) -> tuple[list[dict[str, Cell]], list[Factor], list[Factor]]:
        kept, contexts, items = [], [], []
        for row in rows:
            if _is_context_gone(row):
                left_out["no context is kept of the person"] += 1
                continue
            try:
                context, item = encoder.context(str(row["context"])), encoder.item(str(row["metadata"]))
                item = item * _examination(row)
            except InvalidFeature as error:
                left_out[f"a logged fact does not fit: {error}"] += 1
                continue
            kept.append(row)
            contexts.append(context)
            items.append(item)
        return kept, contexts, items


def _bound(part: int, slices: int) -> str:
    """Where a slice begins, and the one before it ends: all are of about one size, and each id is in one."""
    if part in (0, slices):
        return _AFTER_ALL if part else ""
    first, second = divmod(part * len(_LETTERS) ** 2 // slices, len(_LETTERS))
    return _LETTERS[first] + _LETTERS[second]


def _is_context_gone(row: Row) -> bool:
    """Forgotten, or never recorded under a person, though the model saw one."""
    factor = row["context_factor"]
    return row["context"] is None or (row["context"] == "{}" and isinstance(factor, bytes) and any(factor))


def _examination(row: Row) -> np.float32:
    """How likely the item was looked at where it stood: what its constant feature, 1, was recorded as."""
    factor = row["item_factor"]
    return np.frombuffer(factor, dtype="<f4", count=1)[0] if isinstance(factor, bytes) and factor else np.float32(1.0)


def _factors(rows: Sequence[Row], name: str) -> NDArray[np.float32]:
    packed = [cell for row in rows if isinstance(cell := row[name], bytes)]
    widths = {len(cell) for cell in packed}
    if len(packed) != len(rows) or len(widths) > 1 or any(width % 4 for width in widths):
        raise Corrupt(f"the warehouse holds examples whose {name} differs in width")
    return np.frombuffer(b"".join(packed), dtype="<f4").reshape(len(rows), max(widths, default=0) // 4)


def _stacked(factors: Sequence[Factor]) -> NDArray[np.float32]:
    return np.stack(factors) if factors else np.empty((0, 0), dtype=np.float32)


def _numbers(rows: Sequence[Row], name: str) -> Vector:
    """NaN where there is none."""
    return np.array([row[name] for row in rows], dtype=np.float64)


def _spelt(hour: int) -> str:
    return f"{datetime.fromtimestamp(hour, UTC):%Y-%m-%d %H:%M}"
