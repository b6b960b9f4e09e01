"""The gRPC face of the recommender."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, TypeAlias

import grpc
from msgspec import Struct

from omakase.core.errors import OmakaseError, Unavailable
from omakase.core.ids import text_of
from omakase.core.slates import Slate, anonymous
from omakase.ports.delivery_log import DeliveryLog
from omakase.serving import tracing
from omakase.serving.refresher import Refresher
from omakase.v1 import recommender_pb2 as pb
from omakase.v1 import recommender_pb2_grpc
from omakase.wire import encode_slate
from recommender import metrics
from recommender.bundle import Bundle
from recommender.messages import query_of, refusal_of, reply_of
from recommender.people import People
from recommender.propensities import PropensityCounter
from recommender.ranking import Answer, Ranker

NAME = pb.DESCRIPTOR.services_by_name["Recommender"].full_name

Call: TypeAlias = "grpc.aio.ServicerContext[pb.RecommendBatch, pb.RecommendReplies]"


class Ranked(Struct, frozen=True):
    """A request, its slate, and the record that has to be kept of it before anybody sees it."""

    request: pb.RecommendRequest
    answer: Answer
    record: bytes


Outcome: TypeAlias = Ranked | OmakaseError


class RecommenderService(recommender_pb2_grpc.RecommenderServicer):
    """Ranks, records, answers; in this order. How likely a slate was is counted after it was recorded.

    One request that cannot be served leaves the others of its batch alone. All records of a batch are one write.
    """

    def __init__(
        self,
        bundles: Refresher[Bundle],
        people: People,
        ranker: Ranker,
        deliveries: DeliveryLog,
        propensities: PropensityCounter,
    ) -> None:
        self._bundles = bundles
        self._people = people
        self._ranker = ranker
        self._deliveries = deliveries
        self._propensities = propensities
        self._idle: set[asyncio.Task[Any]] = set()
        self._is_draining = False

    async def Recommend(self, _: object, context: Call) -> None:  # noqa: N802
        """One stream, until the gateway or the drain ends it; between two batches, never within one."""
        lane = asyncio.current_task()
        assert lane is not None
        try:
            while not self._is_draining:
                self._idle.add(lane)
                batch = await context.read()
                self._idle.discard(lane)
                if not isinstance(batch, pb.RecommendBatch):
                    return
                if (replies := await self._recommend(batch, context)) is not None:
                    await context.write(replies)
        except asyncio.CancelledError:
            if not self._is_draining:
                raise
        finally:
            self._idle.discard(lane)

    def drain(self) -> None:
        """End every stream, as soon as it has replied to what it carries."""
        self._is_draining = True
        for lane in self._idle:
            lane.cancel()

    async def _recommend(self, batch: pb.RecommendBatch, context: Call) -> pb.RecommendReplies | None:
        """The replies; None if nobody is there to take them, and then nothing is recorded."""
        bundle = self._bundles.current
        if bundle is None:
            refusal = refusal_of(Unavailable("starting: no catalogue and no models yet"))
            return pb.RecommendReplies(replies=[refusal] * len(batch.requests))
        started, began_ns = time.perf_counter(), time.time_ns()
        queries = [query_of(request) for request in batch.requests]
        answers = self._ranker.answer_all(bundle, queries, await self._people.of(queries))
        outcomes = [outcome_of(request, answer) for request, answer in zip(batch.requests, answers, strict=True)]
        took_s = time.perf_counter() - started
        metrics.RANKING_S.observe(took_s)
        metrics.BATCH.observe(len(outcomes))
        if context.cancelled():  # a record of a slate that nobody saw would be counted as unseen
            metrics.CALLERS_GONE.inc(len(outcomes))
            return None
        ranked_ns = time.time_ns()
        recorded = self._record([in_time(outcome, took_s) for outcome in outcomes])
        if tracing.is_on():
            trace([outcome.answer.slate for outcome in recorded if isinstance(outcome, Ranked)], began_ns, ranked_ns)
        return pb.RecommendReplies(replies=[self._reply(outcome) for outcome in recorded])

    def _record(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        records = [outcome.record for outcome in outcomes if isinstance(outcome, Ranked)]
        try:
            if records:
                self._deliveries.append(*records)
        except Unavailable as error:
            metrics.SPOOL_FAILURES.inc(len(records))
            return [error if isinstance(outcome, Ranked) else outcome for outcome in outcomes]
        return outcomes

    def _reply(self, outcome: Outcome) -> pb.RecommendReply:
        if not isinstance(outcome, Ranked):
            return refusal_of(outcome)
        slate = outcome.answer.slate
        self._propensities.offer(slate.request_id, outcome.answer.made)
        metrics.slates(slate.placement, slate.policy).inc()
        return reply_of(outcome.answer, explain=outcome.request.explain)


def outcome_of(request: pb.RecommendRequest, answer: Answer | OmakaseError) -> Outcome:
    if isinstance(answer, OmakaseError):
        return answer
    return Ranked(request, answer, encode_slate(answer.slate if request.measure else anonymous(answer.slate)))


def trace(slates: Sequence[Slate], began_ns: int, ranked_ns: int) -> None:
    """What was done for those that are traced: for all of a batch at once, so that their spans are alike."""
    recorded_ns = time.time_ns()
    for slate in slates:
        told: dict[str, tracing.Attribute] = {"request_id": text_of(slate.request_id), "batch": len(slates)}
        told |= {"policy": slate.policy, "model_version": slate.model_version, "shadow": slate.shadow}
        tracing.past("rank", slate.trace, began_ns, ranked_ns, told)
        tracing.past("record", slate.trace, ranked_ns, recorded_ns, told)


def in_time(outcome: Outcome, took_s: float) -> Outcome:
    """The outcome, unless nobody waits for this one any more."""
    if isinstance(outcome, Ranked) and 0 < outcome.request.left_ms <= took_s * 1000:
        metrics.CALLERS_GONE.inc()
        return Unavailable("not in time: the slate was dropped unrecorded")
    return outcome
