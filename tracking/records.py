"""Tracking over gRPC: delivery records from the spools."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
from prometheus_client import Counter

from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.slates import Slate
from omakase.ports.clock import Clock
from omakase.ports.forgotten import Forgotten
from omakase.serving.rpc import answering
from omakase.v1 import tracking_pb2 as pb
from omakase.v1 import tracking_pb2_grpc
from omakase.wire import decode_slate
from tracking.forgetting import Latecomers, without_the_forgotten
from tracking.intake import Intake

RECORDED = Counter("omakase_slates_recorded", "Delivery records taken from spools, repetitions included")


class TrackingServicer(tracking_pb2_grpc.TrackingServicer):
    """Takes delivery records. Idempotent: a spool repeats what was not answered."""

    def __init__(self, intake: Intake, forgotten: Forgotten, clock: Clock) -> None:
        self._intake = intake
        self._forgotten = forgotten
        self._clock = clock

    async def RecordSlates(  # noqa: N802  gRPC names its methods so
        self,
        request: pb.RecordSlatesRequest,
        context: grpc.aio.ServicerContext[pb.RecordSlatesRequest, pb.RecordSlatesResponse],
    ) -> pb.RecordSlatesResponse:
        async def record() -> pb.RecordSlatesResponse:
            # Off the loop: a full batch takes a tenth of a second or two, and beacons wait on this loop.
            taken = await asyncio.to_thread(self._take, request.slates)
            await self._intake.record(taken.slates, taken.exclusions)
            RECORDED.inc(len(request.slates))
            return pb.RecordSlatesResponse()

        return await answering(context, record)

    def _take(self, bodies: Sequence[bytes]) -> Latecomers:
        slates = [(_decode(i, body), body) for i, body in enumerate(bodies)]
        return without_the_forgotten(slates, self._forgotten, self._clock.now())


def _decode(index: int, body: bytes) -> Slate:
    try:
        return decode_slate(body)
    except Corrupt as error:
        raise InvalidInput(f"record {index}: {error}") from error
