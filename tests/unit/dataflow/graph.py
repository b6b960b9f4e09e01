"""A job as Dataflow would get it, made without a network, and what Dataflow could not run of it."""

from __future__ import annotations

import base64
import bz2
from collections.abc import Callable, Iterator

import pytest
from apache_beam.pipeline import Pipeline
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_runner_api_pb2 as api

from dataflow.launch import options_of

apiclient = pytest.importorskip(
    "apache_beam.runners.dataflow.internal.apiclient",
    reason="the packages of a Dataflow worker are not here: make cloud",
    exc_type=ImportError,
)
STREAMING_JOB = apiclient.dataflow.JobType.JOB_TYPE_STREAMING

IMAGE = "europe-west1-docker.pkg.dev/shop-project/omakase/dataflow:1.2.3"
SUBMITTED = (
    "--project=shop-project",
    "--region=europe-west1",
    "--job_name=omakase",
    "--temp_location=gs://shop-dataflow/temp",
    f"--sdk_container_image={IMAGE}",
    "--sdk_location=container",
)
_OFFLINE = ("--dry_run=True", "--no_auth")

_PRIMITIVES = common_urns.primitives
_PARDO = _PRIMITIVES.PAR_DO.urn
_NATIVE = {
    _PARDO,
    _PRIMITIVES.GROUP_BY_KEY.urn,
    _PRIMITIVES.FLATTEN.urn,
    _PRIMITIVES.IMPULSE.urn,
    _PRIMITIVES.ASSIGN_WINDOWS.urn,
    common_urns.composites.PUBSUB_READ.urn,
    common_urns.composites.PUBSUB_WRITE.urn,
}
_CODERS = common_urns.coders
_PLAIN = {_CODERS.BYTES.urn, _CODERS.STRING_UTF8.urn, _CODERS.VARINT.urn, _CODERS.BOOL.urn, _CODERS.KV.urn}
# What a job cannot ask of a worker elsewhere: code of the process that started it, or of its tests and ticks.
_ELSEWHERE = ("__main__", "tests.", "dataflow.bounded", "dataflow.launch", "dataflow.__main__")


def submitted(build: Callable[[Pipeline], object], *arguments: str) -> apiclient.Job:
    """What would be sent to Dataflow."""
    pipeline = Pipeline(options=options_of([*SUBMITTED, *_OFFLINE, *arguments]))
    build(pipeline)
    job: apiclient.Job = pipeline.run().job
    return job


def faults(job: apiclient.Job) -> list[str]:
    """Every step that would not run on Dataflow, with the reason."""
    found = _Graph(job.proto_pipeline)
    return [
        f"{name}: {fault}"
        for check in (found.untranslated, found.strangers, found.unsafe_keys, found.endless_side_inputs)
        for name, fault in check()
    ]


class _Graph:
    def __init__(self, proto: api.Pipeline) -> None:
        self._parts = proto.components

    def untranslated(self) -> Iterator[tuple[str, str]]:
        for step in self._leaves():
            if step.spec.urn not in _NATIVE:
                yield step.unique_name, f"{step.spec.urn} is nothing that Dataflow runs"

    def strangers(self) -> Iterator[tuple[str, str]]:
        for name, payload in self._pardos():
            assert payload.do_fn.urn == python_urns.PICKLED_DOFN_INFO, name
            pickled = bz2.decompress(base64.b64decode(payload.do_fn.payload))
            named = [module for module in _ELSEWHERE if module.encode() in pickled]
            if named:
                yield name, f"is pickled with code of {named[0]}"

    def unsafe_keys(self) -> Iterator[tuple[str, str]]:
        grouped = [step for step in self._leaves() if step.spec.urn == _PRIMITIVES.GROUP_BY_KEY.urn]
        keyed = {step.unique_name: next(iter(step.inputs.values())) for step in grouped}
        for name, payload in self._pardos():
            if payload.state_specs or payload.timer_family_specs:
                keyed[name] = next(iter(self._step(name).inputs.values()))
        for name, collection in keyed.items():
            coder = self._parts.coders[self._parts.pcollections[collection].coder_id]
            if coder.spec.urn != _CODERS.KV.urn:
                yield name, f"its input is of {coder.spec.urn}, which has no key"
            elif unsafe := self._unsafe(coder.component_coder_ids[0]):
                yield name, f"its key is of {unsafe}, which may encode one key in two ways, or none"

    def _unsafe(self, coder_id: str) -> str:
        """What in a coder is not one of Beam's own for plain values; pickling, above all. Empty if all are."""
        coder = self._parts.coders[coder_id]
        if coder.spec.urn not in _PLAIN:
            return coder.spec.urn
        return next(filter(None, map(self._unsafe, coder.component_coder_ids)), "")

    def endless_side_inputs(self) -> Iterator[tuple[str, str]]:
        for name, payload in self._pardos():
            for side in payload.side_inputs:
                collection = self._parts.pcollections[self._step(name).inputs[side]]
                if collection.is_bounded == api.IsBounded.UNBOUNDED:
                    yield name, f"its side input {side} never ends"

    def _leaves(self) -> Iterator[api.PTransform]:
        return (step for step in self._parts.transforms.values() if step.spec.urn and not step.subtransforms)

    def _pardos(self) -> Iterator[tuple[str, api.ParDoPayload]]:
        for step in self._leaves():
            if step.spec.urn == _PARDO:
                yield step.unique_name, api.ParDoPayload.FromString(step.spec.payload)

    def _step(self, name: str) -> api.PTransform:
        return next(step for step in self._parts.transforms.values() if step.unique_name == name)


def stateful_steps(job: apiclient.Job) -> set[str]:
    """The steps whose state an update of the job takes over, by name."""
    graph = _Graph(job.proto_pipeline)
    return {name for name, payload in graph._pardos() if payload.state_specs} | {
        step.unique_name for step in graph._leaves() if step.spec.urn == _PRIMITIVES.GROUP_BY_KEY.urn
    }


def worker_image(job: apiclient.Job) -> str:
    """What the workers are made of."""
    environment = apiclient.Environment([], job.options, "8", "", job.proto_pipeline)
    (pool,) = environment.proto.worker_pools
    images = {each.container_image for each in pool.sdk_harness_container_images}
    assert images == {pool.worker_harness_container_image}
    return str(pool.worker_harness_container_image)
