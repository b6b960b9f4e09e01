"""A stream of bus messages whose watermark and clock the test moves, through the streaming assembly.

`TestStream` runs on one of Beam's runners only. That runner starts a failed bundle again from the state before it, as
Dataflow does, so faults are part of what can be tried here.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.trigger import AfterWatermark
from apache_beam.transforms.window import TimestampedValue

from dataflow.bounded import _DESKS, FOLDS, Keep, _desk, _Options
from dataflow.examples import NumberedExamples
from dataflow.sequences import Publication
from dataflow.streaming import Streaming
from dataflow.transforms import Unusable
from omakase import models
from omakase.adapters.local.model_store import FileModelStore
from omakase.core.accounting import Tally
from omakase.core.events import Event
from omakase.core.slates import Slate
from omakase.ports.model_store import ModelKey
from omakase.ports.warehouse import Row
from omakase.snapshots import Snapshot
from omakase.wire import bus_body

# This runner's trigger holds the watermark for an on-time pane even when that was fired already and late data has moved
# the end of its window forward: nothing lifts the hold then, and the run ends as stalled. Without it nothing else
# changes: a window that is not over holds nothing that its own end would not.
AfterWatermark.has_ontime_pane = lambda _: False


@dataclass(frozen=True)
class OpenStore:
    """Opens the models of a directory."""

    directory: Path

    def __call__(self) -> FileModelStore:
        return FileModelStore(self.directory)


def stopped_clock() -> float:
    """`TestStream` counts processing time from 0; what is set by this clock is due so long after its start."""
    return 0.0


@dataclass
class Ran:
    """What came out, and the models as they were left."""

    examples: list[NumberedExamples] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    dead_letters: list[Unusable] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)
    models: Mapping[ModelKey, Snapshot] = field(default_factory=dict)

    @property
    def tally(self) -> Tally:
        total: Tally = Counter()
        for tally in self.tallies:
            total.update(tally)
        return Counter({name: n for name, n in total.items() if n})


def run_stream(stream: TestStream, build: Callable[[beam.PCollection], object]) -> None:
    """What is built on a stream, to its end."""
    options = _Options([], save_main_session=False)
    options.view_as(StandardOptions).streaming = True
    with beam.Pipeline(runner=BundleBasedDirectRunner(), options=options) as pipeline:
        build(pipeline | stream)


class Stream:
    """Messages and the passing of time, in the order of the calls."""

    def __init__(self) -> None:
        self._stream = TestStream()

    def send(self, *records: Event | Slate | bytes, at: float | None = None) -> Stream:
        """Events carry their receipt time; slates, and bytes that are no message, are received `at`."""
        self._stream.add_elements([_timestamped(record, at) for record in records])
        return self

    def watermark(self, at: float) -> Stream:
        self._stream.advance_watermark_to(at)
        return self

    def pass_time(self, seconds: float) -> Stream:
        """Processing time, which decides how long batches and models wait."""
        self._stream.advance_processing_time(seconds)
        return self

    def run(self, streaming: Streaming, directory: Path) -> Ran:
        """To the end of time. Early panes come first: the runner would wait for those that are due no more."""
        self._stream.advance_processing_time(1e6)
        self._stream.advance_watermark_to_infinity()
        with _desk([]) as desk:

            def collect(messages: beam.PCollection) -> None:
                for name, output in streaming.build(messages)._asdict().items():
                    _ = output | f"collect {name}" >> beam.ParDo(Collect(desk, name))

            run_stream(self._stream, collect)
            ran = Ran()
            for (name, _), value in _DESKS[desk].done[FOLDS].items():  # type: ignore[misc]
                getattr(ran, name).append(value)
            ran.rows = [row for numbered in ran.examples for row in numbered.rows()]
        store = FileModelStore(directory)
        keys = store.keys()
        ran.models = {key: models.newest(store, key).snapshot for key in keys}
        return ran


def _timestamped(record: Event | Slate | bytes, at: float | None) -> TimestampedValue:
    if isinstance(record, Event):
        return TimestampedValue(bus_body(record), record.received_at)
    assert at is not None
    return TimestampedValue(record if isinstance(record, bytes) else bus_body(record), at)


class Collect(beam.DoFn):
    """Leaves every element on the desk under a name of its own."""

    def __init__(self, desk: int, name: str) -> None:
        self._keep = Keep(desk, FOLDS)
        self._name = name

    def process(self, element: object) -> None:
        self._keep.process(((self._name, uuid.uuid4().hex), element))
