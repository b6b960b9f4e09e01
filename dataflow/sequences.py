"""A model's mini-batches, numbered, held and published: the state that makes streaming learn exactly once.

A number is given and kept in one step's state, which a runner commits together with what the step read. Publishing
happens in a timer, so it only ever sees what was committed: a bundle that is run again publishes the same numbers, and
`Publisher` adds to a model only what continues its sequence. This stands in for stable input, which Beam's Python SDK
does not offer.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import apache_beam as beam
from apache_beam.coders import PickleCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    AccumulatingRuntimeState,
    BagStateSpec,
    ReadModifyWriteRuntimeState,
    ReadModifyWriteStateSpec,
    RuntimeTimer,
    TimerSpec,
    on_timer,
)

from dataflow.examples import NumberedExamples
from dataflow.publishing import Publisher, batch_of
from omakase.core.calibration import Calibration
from omakase.core.errors import Conflict
from omakase.core.learners import Learner
from omakase.core.posterior import Statistics
from omakase.ports.model_store import Generation, ModelKey, ModelStore
from omakase.ports.pending_batches import Batch

log = logging.getLogger(__name__)

PUBLICATIONS = "publications"


class Summed(NamedTuple):
    """A mini-batch: its sums, what its model's writer has to know of its examples, and these, packed.

    All examples of a model pass its one writer, however many workers made them: so it never looks into one.
    """

    statistics: Statistics
    calibration: Calibration
    clicks: tuple[float, ...]
    packed: bytes


class Publication(NamedTuple):
    """A snapshot that holds batches up to sequence `through`, and the clicks first learnt from in it."""

    key: ModelKey
    generation: Generation
    through: int
    published_at: float
    clicks: tuple[float, ...]


class Counted(NamedTuple):
    """The name under which a model's batches are counted, and the last number given: they live and die together.

    `is_paced`: a publication is on its way, by the timer.
    """

    shard: str
    last: int = 0
    is_paced: bool = False


class Held:
    """PendingBatches of one model, in memory for as long as one call of the step lasts."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = sorted(batches, key=lambda batch: batch.first)
        self.publications: list[Publication] = []

    def pending(self) -> list[Batch]:
        """See PendingBatches."""
        return list(self._batches)

    def merge(self, whole: Batch) -> None:
        """See PendingBatches."""
        parts = [batch for batch in self._batches if whole.first <= batch.first and batch.last <= whole.last]
        if not parts or (parts[0].first, parts[-1].last) != (whole.first, whole.last):
            raise Conflict(f"batches {whole.first} to {whole.last} of {whole.key} are not all there")
        rest = [batch for batch in self._batches if batch not in parts]
        self._batches = sorted([*rest, whole], key=lambda batch: batch.first)

    def settle(self, key: ModelKey, through: int, generation: Generation, published_at: float) -> None:
        """See PendingBatches."""
        clicks = tuple(at for batch in self._batches if batch.last <= through for at in batch.clicks)
        self.publications.append(Publication(key, generation, through, published_at, clicks))
        self._batches = [batch for batch in self._batches if batch.last > through]

    def published(self) -> Iterator[beam.pvalue.TaggedOutput]:
        return (beam.pvalue.TaggedOutput(PUBLICATIONS, publication) for publication in self.publications)


@dataclass(frozen=True, slots=True)
class Release:
    """How models are published: into which store, on which prior, at most once in `interval_s`, or in what `intervals`
    has for a model.

    `open_store` and `clock` are pickled by reference and called on the worker.
    """

    open_store: Callable[[], ModelStore]
    learners: Mapping[str, Learner]
    shard: str
    interval_s: float
    clock: Callable[[], float] = time.time
    max_click_rate_ratio: float | None = None
    intervals: Mapping[str, float] = field(default_factory=dict)

    def now(self) -> float:
        """See Clock."""
        return self.clock()

    def publish(self, store: ModelStore, shard: str, batches: Sequence[Batch]) -> Held:
        """Publish what can be. Returns what is still held, and what was published."""
        held = Held(batches)
        ratio = self.max_click_rate_ratio
        Publisher(store, held, self, self.learners, shard, 0.0, self.clock, ratio).publish(at_once=True)
        return held


class LearnBatches(beam.DoFn):  # type: ignore[misc]
    """(model, Summed) to `NumberedExamples`; publications on the side."""

    COUNTED = ReadModifyWriteStateSpec("counted", PickleCoder())
    HELD = BagStateSpec("held", PickleCoder())
    PACE = TimerSpec("pace", TimeDomain.REAL_TIME)
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(self, release: Release) -> None:
        self._release = release
        self._store: ModelStore | None = None

    def setup(self) -> None:
        self._store = self._release.open_store()

    def process(
        self,
        element: tuple[str, Summed],
        window: beam.transforms.window.BoundedWindow = beam.DoFn.WindowParam,
        counted: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(COUNTED),
        held: AccumulatingRuntimeState = beam.DoFn.StateParam(HELD),
        pace: RuntimeTimer = beam.DoFn.TimerParam(PACE),
        end: RuntimeTimer = beam.DoFn.TimerParam(END),
    ) -> Iterator[object]:
        key, batch = element
        # A new name with a new state: its numbers start again, and no snapshot may take them for old ones.
        before = counted.read() or Counted(f"{self._release.shard}-{uuid.uuid4().hex[:8]}")
        if not before.is_paced:
            pace.set(self._release.now() + self._release.intervals.get(key, self._release.interval_s))
        counted.write(Counted(before.shard, before.last + 1, is_paced=True))
        number = before.last + 1
        held.add(batch_of(ModelKey(key), batch.statistics, batch.clicks, number, calibration=batch.calibration))
        end.set(window.end)
        yield NumberedExamples(before.shard, number, batch.packed)

    @on_timer(PACE)  # type: ignore[untyped-decorator]
    def publish(
        self,
        counted: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(COUNTED),
        held: AccumulatingRuntimeState = beam.DoFn.StateParam(HELD),
        pace: RuntimeTimer = beam.DoFn.TimerParam(PACE),
    ) -> Iterator[object]:
        """What is held goes out; what a store or a frozen model refuses is tried again after the interval."""
        after = self._publish(counted.read(), held)
        rest = after.pending()
        if rest:
            pace.set(self._release.now() + max(self._release.interval_s, 1.0))
        counted.write(counted.read()._replace(is_paced=bool(rest)))
        yield from after.published()

    @on_timer(END)  # type: ignore[untyped-decorator]
    def drain(
        self,
        counted: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(COUNTED),
        held: AccumulatingRuntimeState = beam.DoFn.StateParam(HELD),
        pace: RuntimeTimer = beam.DoFn.TimerParam(PACE),
    ) -> Iterator[object]:
        """Nothing more will come: publish at once. What is refused now is lost to the model, not to the warehouse."""
        pace.clear()
        after = self._publish(counted.read(), held)
        for batch in after.pending():
            log.error("model %s ends without its batches %d to %d: rebuild it", batch.key, batch.first, batch.last)
        yield from after.published()

    def _publish(self, counted: Counted, held: AccumulatingRuntimeState) -> Held:
        assert self._store is not None
        after = self._release.publish(self._store, counted.shard, list(held.read()))
        held.clear()
        for batch in after.pending():
            held.add(batch)
        return after
