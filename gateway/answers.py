"""What comes back from a recommender, or from the fallback, as the answer that a storefront reads."""

from __future__ import annotations

from gateway.api import (
    Contribution,
    Exclusion,
    Exclusions,
    Explanation,
    RecommendationResponse,
    RecommendedItem,
)
from gateway.surfaces import Arm
from omakase.core.ids import text_of
from omakase.core.slates import Slate
from omakase.v1 import recommender_pb2 as pb


def answered(placement: str, arm: Arm, reply: pb.RecommendResponse) -> RecommendationResponse:
    """A recommender's slate."""
    return RecommendationResponse(
        request_id=text_of(reply.request_id),
        placement=placement,
        variant=arm.variant,
        policy=arm.policy,
        model_version=reply.model_version or None,
        fallback=False,
        ignored=list(reply.ignored),
        items=[
            RecommendedItem(
                item_id=item.item_id,
                delivery_id=item.delivery_id,
                position=item.position,
                score=item.score,
                predicted_click=item.predicted_click if item.HasField("predicted_click") else None,
                expected_value=item.expected_value if item.HasField("expected_value") else None,
                explanation=_explanation(item.explanation) if item.HasField("explanation") else None,
            )
            for item in reply.items
        ],
        excluded=_exclusions(reply.excluded) if reply.HasField("excluded") else None,
    )


def fallen_back(slate: Slate, ignored: list[str]) -> RecommendationResponse:
    """A slate of the gateway's own."""
    return RecommendationResponse(
        request_id=text_of(slate.request_id),
        placement=slate.placement,
        variant=slate.variant,
        policy=slate.policy,
        model_version=None,
        fallback=True,
        ignored=ignored,
        items=[
            RecommendedItem(
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


def _explanation(told: pb.Explanation) -> Explanation:
    return Explanation(
        draw=told.draw,
        mean=told.mean if told.HasField("mean") else None,
        deviation=told.deviation if told.HasField("deviation") else None,
        place_by_mean=told.place_by_mean if told.HasField("place_by_mean") else None,
        contributions=[Contribution(feature=one.feature, value=one.value) for one in told.contributions],
        reason=told.reason,
    )


def _exclusions(told: pb.Exclusions) -> Exclusions:
    items = [Exclusion(item_id=one.item_id, reason=one.reason) for one in told.items]
    return Exclusions(counts=dict(told.counts), items=items)
