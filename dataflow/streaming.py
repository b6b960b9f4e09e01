"""The streaming assembly: the bounded tick's functions, under a runner that never ends.

    messages ─▶ by slate ─▶ Sessions ─▶ fold with what is remembered ─▶ mini-batches ─▶ sums ─▶ number, hold, publish
                   │                        │            │                                          │
              dead letters             dead letters   tallies                             examples, publications

Sessions only decide when messages are handed on together: by slate, when it has been quiet for a gap. Which session an
event is in, and what it makes, says `omakase.core.folding` by the receipt times in the messages; so how the watermark
moved is nothing to what is learnt, as long as what was received in a slate's window is no later than the allowed
lateness. What is later than `Panes.lateness_s` a runner drops, and counts (`droppedDueToLateness`): its slate was over,
and it would have ended as `after_window`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, AfterProcessingTime, AfterWatermark
from apache_beam.transforms.window import GlobalWindows, IntervalWindow, Sessions
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import PaneInfo, PaneInfoTiming

from dataflow.examples import pack_examples
from dataflow.panes import DEAD_LETTERS, TALLIES, FoldPanes, Panes
from dataflow.sequences import PUBLICATIONS, LearnBatches, Release, Summed
from omakase.config.schema import Product
from omakase.configured import intervals_of, learners_of, widths_of
from omakase.core.accounting import UNDECODABLE
from omakase.core.calibration import Calibration
from omakase.core.errors import Corrupt
from omakase.core.learners import Learner, UnconfiguredLearner
from omakase.core.sessions import Example
from omakase.ports.model_store import ModelStore
from omakase.wire import is_propensities, request_id_of

AFTER_WINDOW = "after window"
_UNCONFIGURED = UnconfiguredLearner()

# (request id, (how far the watermark had come for sure, messages)).
Pane: TypeAlias = tuple[bytes, tuple[float, list[bytes]]]


class Outputs(NamedTuple):
    """What the pipeline gives besides the models: each for a sink of its own.

    examples: `NumberedExamples`. tallies: increments, to be added up. dead_letters: `Unusable`. publications:
    `Publication`.
    """

    examples: beam.PCollection
    tallies: beam.PCollection
    dead_letters: beam.PCollection
    publications: beam.PCollection


@dataclass(frozen=True, slots=True)
class Batching:
    """A mini-batch is summed when it has `size` examples or is `max_s` old.

    A model's examples are gathered on `spread` keys, so that no worker gets all of them.
    """

    size: int
    max_s: float
    spread: int = 1


@dataclass(frozen=True, slots=True)
class Streaming:
    """The streaming assembly. `learners` says how each model learns."""

    panes: Panes
    learners: Mapping[str, Learner]
    batching: Batching
    release: Release

    @classmethod
    def of(
        cls,
        product: Product,
        open_store: Callable[[], ModelStore],
        shard: str,
        spread: int = 1,
        clock: Callable[[], float] = time.time,
        closed_before: float = -math.inf,
    ) -> Streaming:
        """`open_store` and `clock` are called on the workers, so they are pickled; see `Batching` for `spread`, and
        `Panes` for `closed_before`.
        """
        learning = product.learning
        interval_s = learning.publish_interval_s
        learners = learners_of(product)
        return cls(
            Panes(learning.rules(), product.reward_tables(), widths_of(product), closed_before),
            learners,
            Batching(learning.batch_size, max(interval_s, 1.0), spread),
            Release(
                open_store,
                learners,
                shard,
                interval_s,
                clock,
                learning.max_click_rate_ratio,
                intervals_of(product),
            ),
        )

    def build(self, messages: beam.PCollection) -> Outputs:
        """From bodies of bus messages, each timestamped with its receipt time."""
        by_slate = beam.ParDo(KeyBySlate(self.panes)).with_output_types(tuple[bytes, bytes])
        keyed = messages | "by slate" >> by_slate.with_outputs(AFTER_WINDOW, DEAD_LETTERS, main="keyed")
        after = keyed[AFTER_WINDOW] | "no pane" >> beam.Map(_alone).with_output_types(Pane)
        panes = (self._sessions(keyed.keyed), after) | "panes and others" >> beam.Flatten().with_output_types(Pane)
        fold = beam.ParDo(FoldPanes(self.panes))
        folded = panes | "fold" >> fold.with_outputs(TALLIES, DEAD_LETTERS, main="examples")
        learn = beam.ParDo(LearnBatches(self.release))
        learnt = self._sums(folded.examples) | "learn" >> learn.with_outputs(PUBLICATIONS, main="examples")
        letters = (keyed[DEAD_LETTERS], folded[DEAD_LETTERS]) | "dead letters" >> beam.Flatten()
        return Outputs(learnt.examples, folded[TALLIES], letters, learnt[PUBLICATIONS])

    def _sessions(self, keyed: beam.PCollection) -> beam.PCollection:
        """(request id, (watermark, messages)), in the global window, where nothing is late any more."""
        rules = self.panes.rules
        return (
            keyed
            | "sessions"
            >> beam.WindowInto(
                Sessions(rules.gap_s),
                # A slate whose sessions overlap without end is folded all the same; the timers close what is due.
                trigger=AfterWatermark(early=AfterProcessingTime(math.ceil(rules.max_s)), late=AfterCount(1)),
                accumulation_mode=AccumulationMode.DISCARDING,
                allowed_lateness=self.panes.lateness_s,
            )
            | "panes" >> beam.GroupByKey()
            | "watermark" >> beam.ParDo(WithWatermark()).with_output_types(Pane)
            | "for good" >> beam.WindowInto(GlobalWindows())
        )

    def _sums(self, examples: beam.PCollection) -> beam.PCollection:
        """(model, Summed)."""
        batching = self.batching
        return (
            examples
            | "spread" >> beam.ParDo(Spread(batching.spread)).with_output_types(tuple[tuple[str, int], Any])
            | "mini-batches" >> beam.GroupIntoBatches(batching.size, batching.max_s, self.release.clock)
            | "sum" >> beam.ParDo(SumBatch(self.learners)).with_output_types(tuple[str, Any])
        )


class KeyBySlate(beam.DoFn):  # type: ignore[misc]
    """Message to (request id, message); what has none is a dead letter, and nothing is learnt from propensities.

    What was received after the slate's reward window is set apart: in a session with what was received before its end,
    it would hold that back until the slate is over.
    """

    def __init__(self, panes: Panes) -> None:
        self._panes = panes

    def process(self, body: bytes, received_at: Timestamp = beam.DoFn.TimestampParam) -> Iterator[object]:
        if is_propensities(body):
            return
        try:
            request_id = request_id_of(body)
        except Corrupt as error:
            yield TaggedOutput(DEAD_LETTERS, (body, UNDECODABLE, str(error)))
            return
        keyed = bytes(request_id), body
        yield keyed if self._panes.takes(request_id, float(received_at)) else TaggedOutput(AFTER_WINDOW, keyed)


def _alone(keyed: tuple[bytes, bytes]) -> Pane:
    request_id, body = keyed
    return request_id, (-math.inf, [body])


class WithWatermark(beam.DoFn):  # type: ignore[misc]
    """Notes how far the watermark has come for sure: to the end of the pane's window, unless the pane is early."""

    def process(
        self,
        pane: tuple[bytes, Iterable[bytes]],
        window: IntervalWindow = beam.DoFn.WindowParam,
        info: PaneInfo = beam.DoFn.PaneInfoParam,
    ) -> Iterator[Pane]:
        request_id, bodies = pane
        is_early = info.timing == PaneInfoTiming.EARLY
        yield request_id, (-math.inf if is_early else float(window.end), list(bodies))


class Spread(beam.DoFn):  # type: ignore[misc]
    """(model, example) to ((model, part), example): a slate's examples stay together, so a correction follows."""

    def __init__(self, parts: int) -> None:
        self._parts = parts

    def process(self, element: tuple[str, Example]) -> Iterator[tuple[tuple[str, int], Example]]:
        model, example = element
        yield (model, example.request_id[-1] % self._parts), example


class SumBatch(beam.DoFn):  # type: ignore[misc]
    """((model, part), examples) to (model, Summed)."""

    def __init__(self, learners: Mapping[str, Learner]) -> None:
        self._learners = learners

    def process(self, batch: tuple[tuple[str, int], Sequence[Example]]) -> Iterator[tuple[str, Summed]]:
        (model, _), examples = batch
        sums = self._learners.get(model, _UNCONFIGURED).summarise(list(examples))
        clicks = tuple(example.clicked_at for example in examples if example.clicked_at is not None)
        yield model, Summed(sums, Calibration.of(examples), clicks, pack_examples(examples))
