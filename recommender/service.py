"""The gRPC face of the recommender."""

from __future__ import annotations

import time
from functools import partial
from typing import TypeAlias

import grpc

from omakase.core.errors import Unavailable
from omakase.core.ids import Pseudonym
from omakase.core.slates import anonymous
from omakase.ports.delivery_log import DeliveryLog
from omakase.serving.refresher import Refresher
from omakase.serving.rpc import answering
from omakase.v1 import recommender_pb2 as pb
from omakase.v1 import recommender_pb2_grpc
from omakase.wire import decode_facts, encode_slate
from recommender import metrics
from recommender.bundle import Bundle
from recommender.explaining import add_explanations
from recommender.propensities import PropensityCounter
from recommender.ranking import Answer, Query, Ranker

NAME = pb.DESCRIPTOR.services_by_name["Recommender"].full_name

Call: TypeAlias = "grpc.aio.ServicerContext[pb.RecommendRequest, pb.RecommendResponse]"


class RecommenderService(recommender_pb2_grpc.RecommenderServicer):
    """Ranks, records, answers; in this order. How likely the slate was is counted after it was recorded."""

    def __init__(
        self, bundles: Refresher[Bundle], ranker: Ranker, deliveries: DeliveryLog, propensities: PropensityCounter
    ) -> None:
        self._bundles = bundles
        self._ranker = ranker
        self._deliveries = deliveries
        self._propensities = propensities

    async def Recommend(self, request: pb.RecommendRequest, context: Call) -> pb.RecommendResponse:  # noqa: N802
        return await answering(context, partial(self._recommend, request, context))

    async def _recommend(self, request: pb.RecommendRequest, context: Call) -> pb.RecommendResponse:
        bundle = self._bundles.current
        if bundle is None:
            raise Unavailable("starting: no catalogue and no models yet")
        started = time.perf_counter()
        answer = self._ranker.answer(bundle, query_of(request))
        slate = answer.slate
        record = encode_slate(slate if request.measure else anonymous(slate))
        metrics.RANKING_S.observe(time.perf_counter() - started)
        if is_gone(context):
            metrics.CALLERS_GONE.inc()
            raise Unavailable("the caller has gone: its slate was dropped unrecorded")
        self._record(record)
        self._propensities.offer(slate.request_id, answer.made)
        metrics.SLATES.labels(slate.placement, slate.policy).inc()
        return response_of(answer, explain=request.explain)

    def _record(self, record: bytes) -> None:
        try:
            self._deliveries.append(record)
        except Unavailable:
            metrics.SPOOL_FAILURES.inc()
            raise


def is_gone(context: Call) -> bool:
    """Whether nobody waits for the answer any more. A record of a slate that nobody saw would be counted as unseen."""
    remaining_s = context.time_remaining()
    return context.cancelled() or (remaining_s is not None and remaining_s <= 0)


def query_of(request: pb.RecommendRequest) -> Query:
    return Query(
        placement=request.placement,
        variant=request.variant,
        policy=request.policy,
        model=request.model,
        unit=Pseudonym(request.unit),
        user=Pseudonym(request.user),
        context=decode_facts(request.context) if request.personalise else {},
        limit=request.limit,
        exclude=request.exclude,
        candidates=request.candidates if request.restricted else None,
        personalise=request.personalise,
        filters=decode_facts(request.filter),
    )


def response_of(answer: Answer, *, explain: bool = False) -> pb.RecommendResponse:
    slate = answer.slate
    response = pb.RecommendResponse(
        request_id=slate.request_id,
        model_version=slate.model_version,
        ignored=answer.ignored,
        items=[
            pb.RankedItem(
                item_id=delivery.item_id,
                delivery_id=delivery.delivery_id,
                position=delivery.position,
                score=delivery.score,
                predicted_click=delivery.predicted_click,
                expected_value=delivery.expected_value,
            )
            for delivery in slate.deliveries
        ],
    )
    if explain:
        add_explanations(response, answer.made)
    return response
