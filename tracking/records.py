"""Tracking over gRPC: delivery records and propensities from the spools."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
from prometheus_client import Counter

from omakase.core.errors import Corrupt, InvalidInput
from omakase.ports.clock import Clock
from omakase.ports.event_bus import Message
from omakase.ports.forgotten import Forgotten
from omakase.serving.rpc import answering
from omakase.v1 import tracking_pb2 as pb
from omakase.v1 import tracking_pb2_grpc
from omakase.wire import SpooledPropensities, SpooledSlate, decode_discarded, is_discarded, is_propensities
from tracking.forgetting import Latecomers, without_the_forgotten
from tracking.intake import Intake
from tracking.join import discard_message, propensities_message

RECORDED = Counter("omakase_slates_recorded", "Delivery records taken from spools, repetitions included")
PROPENSITIES = Counter("omakase_propensities_recorded", "Slates' propensities taken from spools, repetitions included")
DISCARDED = Counter("omakase_slates_discarded", "Slates that nobody saw, as gateways told, repetitions included")


class TrackingServicer(tracking_pb2_grpc.TrackingServicer):
    """Takes what was spooled. Idempotent: a spool repeats what was not answered."""

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
            # Off the loop: a full batch takes some milliseconds, and beacons wait on this loop.
            taken, propensities, discards = await asyncio.to_thread(self._take, request.slates)
            await self._intake.record(taken.slates, [*taken.exclusions, *propensities, *discards])
            RECORDED.inc(len(taken.slates))
            PROPENSITIES.inc(len(propensities))
            DISCARDED.inc(len(discards))
            return pb.RecordSlatesResponse()

        return await answering(context, record)

    def _take(self, bodies: Sequence[bytes]) -> tuple[Latecomers, list[Message], list[Message]]:
        """Slates; propensities and discards, which name nobody."""
        slates: list[SpooledSlate] = []
        propensities: list[Message] = []
        discards: list[Message] = []
        now = self._clock.now()
        for i, body in enumerate(bodies):
            try:
                if is_propensities(body):
                    propensities.append(propensities_message(SpooledPropensities.of(body), now))
                elif is_discarded(body):
                    discards.append(discard_message(decode_discarded(body), body, now))
                else:
                    slates.append(SpooledSlate.of(body))
            except Corrupt as error:
                raise InvalidInput(f"record {i}: {error}") from error
        return without_the_forgotten(slates, self._forgotten, now), propensities, discards
