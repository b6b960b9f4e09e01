"""Batches into models: read, add, write if unchanged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from itertools import groupby
from operator import add, attrgetter

from omakase.core.errors import Conflict, Corrupt, OmakaseError
from omakase.core.policies import Belief
from omakase.core.posterior import Statistics
from omakase.ports.clock import Clock
from omakase.ports.model_store import ABSENT, ModelKey, ModelStore
from omakase.ports.training_state import Batch, TrainingState
from omakase.snapshots import Snapshot, decode_snapshot, encode_snapshot

log = logging.getLogger(__name__)

_ATTEMPTS = 5


class Publisher:
    """Adds pending batches to their models, each exactly once.

    A snapshot says how far it has got with this shard's sequence: a batch that does not continue it is either in it
    already, or must wait. So it does no harm to die between publishing and noting it, nor to run twice at once.
    `monotonic` paces publishing: at most one snapshot of a model in `interval_s`, whatever the logical clock does.
    """

    def __init__(
        self,
        store: ModelStore,
        state: TrainingState,
        clock: Clock,
        shard: str,
        interval_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._state = state
        self._clock = clock
        self._shard = shard
        self._interval_s = interval_s
        self._monotonic = monotonic
        self._published: dict[ModelKey, float] = {}

    def publish(self, *, at_once: bool = False) -> None:
        """Publish what is pending and due. A model that refuses keeps its batches; the others go on."""
        for key, batches in groupby(self._state.pending(), key=attrgetter("key")):
            if not at_once and self._monotonic() < self._published.get(key, -self._interval_s) + self._interval_s:
                continue
            try:
                self._publish_model(key, list(batches))
            except OmakaseError as error:
                log.error("model %s waits with its batches: %s", key, error)
            self._published[key] = self._monotonic()

    def _publish_model(self, key: ModelKey, batches: Sequence[Batch]) -> None:
        for _ in range(_ATTEMPTS):
            newest = self._store.latest(key)
            snapshot, generation = (_new(key), ABSENT) if newest is None else (decode_snapshot(newest[0]), newest[1])
            if snapshot.frozen:
                return
            grown = self._add(snapshot, batches)
            if grown is None:
                self._state.settle(key, batches[-1].sequence, generation, snapshot.published_at)
                return
            try:
                written = self._store.publish(key, encode_snapshot(grown), if_generation=generation)
            except Conflict:
                continue
            self._state.settle(key, grown.sequences[self._shard], written, grown.published_at)
            return
        raise Conflict(f"somebody else wrote {_ATTEMPTS} times in a row")

    def _add(self, snapshot: Snapshot, batches: Sequence[Batch]) -> Snapshot | None:
        """The snapshot with every batch that continues it, or None if it holds them all. Raises: Corrupt."""
        learnt = snapshot.sequences.get(self._shard, 0)
        new = [batch for batch in batches if batch.sequence > learnt]
        if not new:
            return None
        if [batch.sequence for batch in new] != list(range(learnt + 1, learnt + 1 + len(new))):
            raise Corrupt(f"batches {[batch.sequence for batch in new]} do not continue sequence {learnt}")
        sums = [decode_snapshot(batch.statistics).statistics for batch in new]
        before = snapshot.statistics if snapshot.statistics.dimensions else Statistics.empty(sums[0].dimensions)
        statistics = reduce(add, sums, before)
        Belief.of(statistics, prior_precision=1e-3)  # refuse what no recommender could serve
        return replace(
            snapshot,
            statistics=statistics,
            sequences={**snapshot.sequences, self._shard: new[-1].sequence},
            published_at=self._clock.now(),
            reason="learnt",
        )


def _new(key: ModelKey) -> Snapshot:
    model, _, schema_id = key.rpartition("/")
    return Snapshot(model, schema_id, Statistics.empty(0))


def batch_of(key: ModelKey, statistics: Statistics, clicks: Sequence[float]) -> Batch:
    """A batch to be given its sequence when it is committed."""
    return Batch(key, encode_snapshot(replace(_new(key), statistics=statistics)), tuple(clicks))
