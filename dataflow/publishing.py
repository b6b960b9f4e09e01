"""Batches into models: read, add, write if unchanged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import groupby, pairwise
from operator import add, attrgetter
from typing import TypeAlias

from omakase.core.calibration import UNCALIBRATED, Calibration, is_mature
from omakase.core.errors import Conflict, Corrupt, OmakaseError
from omakase.core.learners import Learner, UnconfiguredLearner
from omakase.core.posterior import Statistics
from omakase.ports.clock import Clock
from omakase.ports.model_store import ABSENT, Generation, ModelKey, ModelStore
from omakase.ports.pending_batches import Batch, PendingBatches
from omakase.snapshots import Snapshot, decode_snapshot, encode_snapshot

log = logging.getLogger(__name__)

OnPublished: TypeAlias = Callable[[ModelKey, int, Generation], None]

_ATTEMPTS = 5
_MANY = 32
# A published snapshot is served everywhere within this time.
_SWAP_S = 60.0
# What waits for a model that is no longer configured is added to it all the same.
_UNCONFIGURED = UnconfiguredLearner()


class Publisher:
    """Adds pending batches to their models, each exactly once.

    A snapshot says how far it has got with this shard's sequence: a batch that does not continue it is either in it
    already, or must wait. So it does no harm to die between publishing and noting it, nor to run twice at once.
    `monotonic` paces publishing, whatever the logical clock does: at most one snapshot of a model in `interval_s`, or
    in what `intervals` has for it.
    With a `max_click_rate_ratio`, a model whose batches were clicked surprisingly often or seldom is held: frozen, its
    batches waiting, until a person resumes it.
    """

    def __init__(
        self,
        store: ModelStore,
        batches: PendingBatches,
        clock: Clock,
        learners: Mapping[str, Learner],
        shard: str,
        interval_s: float,
        monotonic: Callable[[], float],
        max_click_rate_ratio: float | None = None,
        intervals: Mapping[str, float] | None = None,
        on_published: OnPublished = lambda *_: None,
    ) -> None:
        """`on_published` is told which model holds its batches up to which sequence, and in which generation."""
        self._store = store
        self._batches = batches
        self._clock = clock
        self._learners = learners
        self._shard = shard
        self._interval_s = interval_s
        self._intervals = intervals or {}
        self._monotonic = monotonic
        self._on_published = on_published
        self._max_click_rate_ratio = max_click_rate_ratio
        self._published: dict[ModelKey, float] = {}

    def publish(self, *, at_once: bool = False) -> None:
        """Publish what is pending and due. A model that refuses keeps its batches; the others go on."""
        for key, batches in groupby(self._batches.pending(), key=attrgetter("key")):
            interval_s = self._intervals.get(key, self._interval_s)
            if not at_once and self._monotonic() < self._published.get(key, -interval_s) + interval_s:
                continue
            try:
                self._publish_model(key, list(batches))
            except OmakaseError as error:
                way_out = f"; omakase models rebuild {key}" if isinstance(error, Corrupt) else ""
                log.error("model %s waits with its batches: %s%s", key, error, way_out)
            self._published[key] = self._monotonic()

    def _publish_model(self, key: ModelKey, batches: Sequence[Batch]) -> None:
        for _ in range(_ATTEMPTS):
            newest = self._store.latest(key)
            snapshot, generation = (_new(key), ABSENT) if newest is None else (decode_snapshot(newest[0]), newest[1])
            if snapshot.frozen:
                self._gather(snapshot, batches)
                return
            new = self._not_in(snapshot, batches)
            if not new:
                self._batches.settle(key, batches[-1].last, generation, snapshot.published_at)
                return
            try:
                grown = self._held(snapshot, new) or self._add(snapshot, new)
            except Corrupt:
                self._gather(snapshot, batches)
                raise
            try:
                written = self._store.publish(key, encode_snapshot(grown), if_generation=generation)
            except Conflict:
                continue
            if grown.frozen:
                log.error("model %s is %s; look at it, then: omakase models resume %s", key, grown.reason, key)
            else:
                self._batches.settle(key, grown.sequences[self._shard], written, grown.published_at)
                self._on_published(key, grown.sequences[self._shard], written)
            return
        raise Conflict(f"somebody else wrote {_ATTEMPTS} times in a row")

    def _add(self, snapshot: Snapshot, new: Sequence[Batch]) -> Snapshot:
        """The snapshot with what continues it. Raises: Corrupt."""
        sums = [decode_snapshot(batch.statistics).statistics for batch in new]
        before = snapshot.statistics if snapshot.statistics.dimensions else Statistics.empty(sums[0].dimensions)
        learner = self._learners.get(new[0].key, _UNCONFIGURED)
        statistics = reduce(learner.absorb, sums, before)
        learner.believe(statistics)  # refuse what no recommender could serve
        now = self._clock.now()
        return replace(
            snapshot,
            statistics=statistics,
            sequences={**snapshot.sequences, self._shard: new[-1].last},
            published_at=now,
            reason="learnt",
            trusted_from=snapshot.trusted_from or (now + _SWAP_S if is_mature(statistics) else 0.0),
        )

    def _held(self, snapshot: Snapshot, new: Sequence[Batch]) -> Snapshot | None:
        """The snapshot frozen, if what would be added is too far from what was predicted; else None."""
        ratio = self._max_click_rate_ratio
        if ratio is None or not snapshot.trusted_from:
            return None
        # Judged is what was predicted since the model was fit to predict: a batch is so as a whole or not at all.
        fair = [batch.calibration for batch in new if batch.calibration.since >= snapshot.trusted_from]
        found = reduce(add, fair, UNCALIBRATED)
        if not found.is_surprising(ratio):
            return None
        return replace(snapshot, frozen=True, published_at=self._clock.now(), reason=f"held: {found}")

    def _not_in(self, snapshot: Snapshot, batches: Sequence[Batch]) -> list[Batch]:
        """The batches that the snapshot does not hold. Raises: Corrupt if there is a gap between them.

        A gap before the first means that the store lost snapshots which held what is missing: there is nothing to wait
        for, so learning goes on, loudly.
        """
        learnt = snapshot.sequences.get(self._shard, 0)
        new = [batch for batch in batches if batch.last > learnt]
        for before, batch in pairwise(new):
            if batch.first != before.last + 1:
                raise Corrupt(f"batch {batch.first} to {batch.last} does not continue sequence {before.last}")
        if new and new[0].first > learnt + 1:
            lost = f"{learnt + 1} to {new[0].first - 1}"
            log.error("the store lost what %s had learnt in batches %s: rebuild it", new[0].key, lost)
        elif new and new[0].first <= learnt:
            raise Corrupt(f"batch {new[0].first} to {new[0].last} overlaps sequence {learnt}")
        return new

    def _gather(self, frozen: Snapshot, batches: Sequence[Batch]) -> None:
        """While a model is frozen or refuses, what waits for it becomes one batch: it may wait for days."""
        new = self._not_in(frozen, batches)
        if len(new) < _MANY:
            return
        sums = reduce(add, (decode_snapshot(batch.statistics).statistics for batch in new))
        clicks = [at for batch in new for at in batch.clicks]
        calibration = reduce(add, (batch.calibration for batch in new))
        self._batches.merge(batch_of(new[0].key, sums, clicks, new[0].first, new[-1].last, calibration))


def _new(key: ModelKey) -> Snapshot:
    model, _, schema_id = key.rpartition("/")
    return Snapshot(model, schema_id, Statistics.empty(0))


def batch_of(
    key: ModelKey,
    statistics: Statistics,
    clicks: Sequence[float],
    first: int,
    last: int = 0,
    calibration: Calibration = UNCALIBRATED,
) -> Batch:
    """Sums of sequence `first`, or of all from `first` to `last`, to be committed."""
    body = encode_snapshot(replace(_new(key), statistics=statistics))
    return Batch(key, body, tuple(clicks), first, last or first, calibration)
