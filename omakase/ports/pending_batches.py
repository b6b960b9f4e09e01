"""Port: sums that were committed by a trainer's ticks and are not known to be in a published model yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from omakase.core.calibration import UNCALIBRATED, Calibration
from omakase.ports.model_store import Generation, ModelKey


@dataclass(frozen=True, slots=True)
class Batch:
    """Sums that a model has yet to add: those of sequences `first` to `last` of the model's own count, from 1.

    `clicks` are the receipt times of the clicks first learnt from in it, Unix seconds; `calibration` sets what was
    predicted of its new examples beside what happened.
    """

    key: ModelKey
    statistics: bytes
    clicks: tuple[float, ...]
    first: int
    last: int
    calibration: Calibration = UNCALIBRATED


class PendingBatches(Protocol):
    """Guarantees: no sequence is ever in two batches, and none is gone before it was settled."""

    def pending(self) -> list[Batch]:
        """Batches that are not known to be published, by model and sequence. Raises: Unavailable."""

    def merge(self, whole: Batch) -> None:
        """Put `whole` in the place of the batches it is the sum of. Raises: Conflict if not all of them are there."""

    def settle(self, key: ModelKey, through: int, generation: Generation, published_at: float) -> None:
        """Note that `generation` holds a model's batches up to sequence `through`. Idempotent. Raises: Unavailable."""
