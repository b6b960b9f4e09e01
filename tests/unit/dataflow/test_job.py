"""The job as Dataflow would get it: every step translated, every key encoded in one way, nothing of this process."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.coders import BytesCoder
from apache_beam.io.gcp.pubsub import ReadFromPubSub
from apache_beam.pvalue import AsIter
from apache_beam.transforms.userstate import BagStateSpec
from apache_beam.transforms.window import FixedWindows

from dataflow.bounded import FOLDS, Keep
from dataflow.launch import job_of
from omakase.config import load_product
from omakase.settings import StreamingSettings
from tests.unit.dataflow.graph import IMAGE, STREAMING_JOB, faults, stateful_steps, submitted, worker_image

STOREFRONT = Path(__file__).parents[3] / "examples/storefront.yaml"
SUBSCRIPTION = "projects/shop-project/subscriptions/stream"
SETTINGS = StreamingSettings(
    config=str(STOREFRONT),
    bus="pubsub:shop-project/events?subscription=stream",
    models="gs://shop-models/models",
    warehouse="bigquery:shop-project/omakase",
)


@pytest.fixture(scope="module")
def job():
    return submitted(job_of(SETTINGS, load_product(STOREFRONT)).build)


def test_dataflow_can_run_every_step(job) -> None:
    assert faults(job) == []


def test_it_is_a_streaming_job_of_our_image_and_says_of_which_version(job) -> None:
    assert job.proto.type_ == STREAMING_JOB
    assert worker_image(job) == IMAGE
    assert dict(job.proto.labels) == {"omakase": "0-1-0"}


def test_it_is_small_enough_to_be_submitted(job) -> None:
    """Dataflow takes 10 MB."""
    assert len(job.proto_pipeline.SerializeToString()) < 1_000_000


def test_messages_are_told_apart_by_their_key_and_timed_by_their_receipt(job) -> None:
    (read,) = (step for step in job.proto_pipeline.components.transforms.values() if step.unique_name == "read/Read")
    for told in (SUBSCRIPTION, "key", "received_at"):
        assert told.encode() in read.spec.payload


def test_the_names_that_an_update_finds_state_by_are_those_of_the_jobs_that_run(job) -> None:
    """To change one is to give its state up in every update: then say so in docs/operations.md."""
    histories = ("history", "examples history", "counts history", "publications history")
    assert stateful_steps(job) == {
        "panes",
        "fold/ParDo(FoldPanes)",
        "mini-batches/ParDo(_GroupIntoBatchesDoFn)",
        "learn/ParDo(LearnBatches)",
        *(f"{name}/parts" for name in histories),
    }


# What the checks are there for


class Remember(beam.DoFn):
    """A step with state."""

    KEPT = BagStateSpec("kept", BytesCoder())

    def process(self, element: tuple[object, bytes], kept=beam.DoFn.StateParam(KEPT)) -> None:
        kept.add(element[1])


class Mixed(beam.DoFn):
    """A step with a side input."""

    def process(self, element: bytes, others: Iterable[bytes]) -> None:
        pass


PICKLED = "its key is of beam:coder:pickled_python:v1, which may encode one key in two ways, or none"


def _alone(body: bytes) -> tuple[object, bytes]:
    return (body,), body


def careless(pipeline: beam.Pipeline) -> None:
    """What is easily written, runs here, and does not there."""

    def of_main(body: bytes) -> bytes:
        return body

    of_main.__module__ = "__main__"
    messages = pipeline | "read" >> ReadFromPubSub(subscription=SUBSCRIPTION)
    cut = messages | "cut" >> beam.WindowInto(FixedWindows(60))
    keyed = cut | "key" >> beam.Map(_alone)
    named = cut | "name" >> beam.Map(_alone).with_output_types(tuple[str, bytes])
    _ = keyed | "remember" >> beam.ParDo(Remember())
    _ = named | "remember by name" >> beam.ParDo(Remember())
    _ = keyed | "group" >> beam.GroupByKey()
    _ = keyed | "keep" >> beam.ParDo(Keep(1, FOLDS))
    _ = cut | "mix" >> beam.ParDo(Mixed(), AsIter(messages))
    _ = cut | "map" >> beam.Map(of_main)


def test_steps_that_would_not_run_there_are_found() -> None:
    found = submitted(careless)
    (read,) = (step for step in found.proto_pipeline.components.transforms.values() if step.unique_name == "read/Read")
    read.spec.urn = "beam:transform:teststream:v1"
    assert {fault for fault in faults(found) if "tests." not in fault} == {
        f"remember: {PICKLED}",
        f"group: {PICKLED}",
        "keep: is pickled with code of dataflow.bounded",
        "mix: its side input python_side_input0 never ends",
        "map: is pickled with code of __main__",
        "read/Read: beam:transform:teststream:v1 is nothing that Dataflow runs",
    }
