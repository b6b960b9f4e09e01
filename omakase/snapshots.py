"""A model's learning state as bytes: what the model store keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.item_statistics import NO_ITEMS, ItemOutcome, ItemStatistics
from omakase.core.posterior import Outcome, Statistics
from omakase.core.rows import Rows
from omakase.ports.model_store import Generation, ModelKey
from omakase.v1 import model_pb2 as pb

_FLOAT32, _FLOAT64 = np.dtype("<f4"), np.dtype("<f8")
# Of what is written here. A reader refuses a newer format: it would drop what it does not know of. What older readers
# can read as well is written in the oldest format.
_FORMAT, _LINEAR_FORMAT = 2, 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Sums, and how far each shard of the trainer had got when they were taken.

    `sequences` makes learning exactly once: a batch applies only if it continues its shard's sequence. While `frozen`,
    batches wait. Clicks on slates issued since `trusted_from` are held against the model's predictions; 0: none are.
    Units: published_at and trusted_from in Unix seconds.
    """

    model: str
    schema_id: str
    statistics: Statistics
    sequences: Mapping[str, int] = field(default_factory=dict)
    published_at: float = 0.0
    frozen: bool = False
    reason: str = ""
    trusted_from: float = 0.0


def model_key(model: str, schema_id: str) -> ModelKey:
    """A model and what it sees: a changed feature specification is another belief."""
    return ModelKey(f"{model}/{schema_id}")


def model_version(key: ModelKey, generation: Generation) -> str:
    """How answers and records name the snapshot they were ranked by; generation 0 is the bare prior."""
    return f"{key}@{generation}"


def encode_snapshot(snapshot: Snapshot) -> bytes:
    statistics = snapshot.statistics
    lower = np.tril_indices(statistics.dimensions)
    return pb.ModelSnapshot(
        model=snapshot.model,
        schema_id=snapshot.schema_id,
        dimensions=statistics.dimensions,
        precision=b"" if statistics.is_logit and statistics.rows else _pack(statistics.precision[lower]),
        outcomes=[
            pb.Outcome(name=name, moment=_pack(outcome.moment), energy=outcome.energy)
            for name, outcome in sorted(statistics.outcomes.items())
        ],
        weight=statistics.weight,
        examples=statistics.examples,
        sequences=dict(snapshot.sequences),
        published_at=snapshot.published_at,
        frozen=snapshot.frozen,
        reason=snapshot.reason,
        as_of=statistics.as_of,
        half_life_s=0.0 if math.isinf(statistics.half_life_s) else statistics.half_life_s,
        format=_LINEAR_FORMAT if _is_plain(statistics) else _FORMAT,
        trusted_from=snapshot.trusted_from,
        is_logit=statistics.is_logit,
        rows=None if statistics.rows is None else _encode_rows(statistics.rows),
        items=_encode_items(statistics.items) if statistics.items.item_ids else None,
    ).SerializeToString()


def decode_snapshot(body: bytes) -> Snapshot:
    """Raises: Corrupt if the bytes are no snapshot that this version knows, or a size or a number in it is wrong."""
    try:
        message = pb.ModelSnapshot.FromString(body)
    except DecodeError as error:
        raise Corrupt(f"not a model snapshot: {error}") from error
    if message.format > _FORMAT:
        raise Corrupt(
            f"a model snapshot of format {message.format} was written by a newer version; this knows {_FORMAT}"
        )
    d = message.dimensions
    rows = _decode_rows(message.rows) if message.HasField("rows") else None
    if rows and rows.dimensions != d:
        raise Corrupt(f"a batch of {d} dimensions holds examples of {rows.dimensions}")
    size = d * (d + 1) // 2
    lower = np.zeros(size) if rows and message.is_logit else _unpack(message.precision, size)
    precision = np.zeros((d, d))
    precision[np.tril_indices(d)] = lower
    precision += np.tril(precision, -1).T
    outcomes = {o.name: Outcome(_unpack(o.moment, d), _finite(o.energy)) for o in message.outcomes}
    return Snapshot(
        model=message.model,
        schema_id=message.schema_id,
        statistics=Statistics(
            precision,
            outcomes,
            _finite(message.weight),
            message.examples,
            _finite(message.as_of),
            _finite(message.half_life_s) or math.inf,
            rows=rows,
            is_logit=message.is_logit,
            items=_decode_items(message.items) if message.HasField("items") else NO_ITEMS,
        ),
        sequences=dict(message.sequences),
        published_at=_finite(message.published_at),
        frozen=message.frozen,
        reason=message.reason,
        trusted_from=_finite(message.trusted_from),
    )


def _is_plain(statistics: Statistics) -> bool:
    return not (statistics.is_logit or statistics.rows or statistics.items.item_ids)


def _encode_items(items: ItemStatistics) -> pb.Items:
    return pb.Items(
        item_ids=items.item_ids,
        dimensions=items.width,
        precision=_pack(items.precision),
        weights=_pack(items.weights),
        seen_at=_pack(items.seen_at),
        outcomes=[
            pb.ItemOutcome(name=name, moments=_pack(outcome.moments), energies=_pack(outcome.energies))
            for name, outcome in sorted(items.outcomes.items())
        ],
    )


def _decode_items(message: pb.Items) -> ItemStatistics:
    item_ids, q = tuple(message.item_ids), message.dimensions
    n = len(item_ids)
    if any(first >= second for first, second in pairwise(item_ids)):
        raise Corrupt("a model snapshot names its items more than once, or out of order")
    return ItemStatistics(
        item_ids,
        _unpack(message.precision, n * (q * (q + 1) // 2)).reshape(n, q * (q + 1) // 2),
        {
            one.name: ItemOutcome(_unpack(one.moments, n * q).reshape(n, q), _unpack(one.energies, n))
            for one in message.outcomes
        },
        _unpack(message.weights, n),
        _unpack(message.seen_at, n),
    )


def _encode_rows(rows: Rows) -> pb.Rows:
    m, p = rows.widths
    factors = {name: getattr(rows, name).astype(_FLOAT32).tobytes() for name in ("contexts", "items")}
    columns = {name: _pack(getattr(rows, name)) for name in ("weight", "at", "after", "before")}
    return pb.Rows(context_width=m, item_width=p, **factors, **columns)


def _decode_rows(message: pb.Rows) -> Rows:
    names = ("weight", "at", "after", "before")
    try:
        weight, at, after, before = (np.frombuffer(getattr(message, name), _FLOAT64).astype(float) for name in names)
        contexts = np.frombuffer(message.contexts, _FLOAT32).reshape(at.size, message.context_width)
        items = np.frombuffer(message.items, _FLOAT32).reshape(at.size, message.item_width)
        return Rows(contexts, items, weight, at, after, before)
    except (ValueError, InvalidInput) as error:
        raise Corrupt(f"a batch holds no examples that could be learnt: {error}") from error


def _pack(numbers: NDArray[np.float64]) -> bytes:
    return np.ascontiguousarray(numbers, dtype=_FLOAT64).tobytes()


def _unpack(packed: bytes, count: int) -> NDArray[np.float64]:
    if len(packed) != 8 * count:
        raise Corrupt(f"a model snapshot holds {len(packed)} bytes where {8 * count} belong")
    numbers = np.frombuffer(packed, dtype=_FLOAT64).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise Corrupt("a model snapshot holds a number that is not finite")
    return numbers


def _finite(number: float) -> float:
    if not np.isfinite(number):
        raise Corrupt("a model snapshot holds a number that is not finite")
    return number
