"""A bounded drain of a subscription through the streaming job, on a runner of Beam's that keeps its promises.

The runner that reads Pub/Sub by itself on one machine acknowledges before it processes, so nothing here uses it. What
the subscription holds is read first, told apart and timed by its attributes as Dataflow does it, and runs through every
step of the job but the reading one; it is acknowledged when all of that is done.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import apache_beam as beam
from apache_beam.io.gcp.pubsub import WriteToPubSub
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from dataflow.job import Job
from omakase.adapters.gcp.pubsub.clients import subscriber
from tests.unit.dataflow.stream import stopped_clock

_SILENT = 3  # pulls in a row that find nothing: the emulator may answer one too early


@dataclass
class Drain:
    """One subscription. Messages are (when it was received, body)."""

    path: str
    seen: set[str] = field(default_factory=set)
    ack_ids: list[str] = field(default_factory=list)

    def pull(self, key: str, received_at: str) -> list[tuple[float, bytes]]:
        """Everything that is there and was not pulled before, each key once, in the order of receipt."""
        found, silent = [], 0
        with subscriber() as client, warnings.catch_warnings():
            # A pull that waits and is given up may just have been handed something.
            warnings.filterwarnings("ignore", "The return_immediately flag", DeprecationWarning)
            while silent < _SILENT:
                request = {"subscription": self.path, "max_messages": 1000, "return_immediately": True}
                received = client.pull(request=request, timeout=10.0).received_messages
                silent = 0 if received else silent + 1
                for one in received:
                    self.ack_ids.append(one.ack_id)
                    if one.message.attributes[key] not in self.seen:
                        self.seen.add(one.message.attributes[key])
                        at = datetime.fromisoformat(one.message.attributes[received_at]).timestamp()
                        found.append((at, one.message.data))
        return sorted(found, key=lambda message: message[0])

    def acknowledge(self) -> None:
        with subscriber() as client:
            client.acknowledge(request={"subscription": self.path, "ack_ids": self.ack_ids})
        self.ack_ids.clear()


def run(job: Job, cuts: Sequence[tuple[float, Sequence[tuple[float, bytes]]]]) -> None:
    """Each cut's messages, then its watermark; to the end of time after the last one."""
    job = replace(
        job,
        filing=replace(job.filing, clock=stopped_clock),
        streaming=replace(job.streaming, release=replace(job.streaming.release, clock=stopped_clock)),
    )
    stream = TestStream().advance_watermark_to(_time(min(at for _, cut in cuts for at, _ in cut) - 1))
    for watermark, messages in cuts:
        stream.add_elements([TimestampedValue(body, _time(at)) for at, body in messages])
        if math.isfinite(watermark):
            stream.advance_watermark_to(_time(watermark)).advance_processing_time(100.0)
    # Early panes come first: the runner would wait for those that are due no more.
    stream.advance_processing_time(1e6).advance_watermark_to_infinity()
    options = PipelineOptions([], save_main_session=False)
    options.view_as(StandardOptions).streaming = True
    with beam.Pipeline(runner=BundleBasedDirectRunner(), options=options) as pipeline:
        letters = job.connect(pipeline | stream)
        _ = letters | "to their topic" >> WriteToPubSub(job.dead_letters, with_attributes=True)


def _time(at: float) -> Timestamp:
    """To the millisecond below, as Dataflow counts."""
    return Timestamp(micros=math.floor(at * 1000) * 1000)
