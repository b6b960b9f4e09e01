"""What the gateway gives, as JSON: from a recommender's reply, or from its own slate, straight to bytes."""

from __future__ import annotations

from itertools import starmap
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.routing import Arm
from omakase.core.ids import text_of
from omakase.core.slates import Slate
from omakase.v1 import recommender_pb2 as pb


def _told(description: str) -> Meta:
    return Meta(description=description)


class Contribution(Struct, frozen=True):
    """What one feature adds to an item's mean; `device=ios × category=shoes` is one feature."""

    feature: str
    value: float


class Explanation(Struct, frozen=True):
    """Why an item stands where it does. What the policy does not rank by is null, and empty."""

    draw: Annotated[float, _told("The score as it was drawn.")]
    mean: Annotated[float | None, _told("What may be drawn has this mean,")]
    deviation: Annotated[float | None, _told("and this standard deviation.")]
    place_by_mean: Annotated[int | None, _told("Where the mean alone would put it among all that may be shown.")]
    contributions: Annotated[list[Contribution], _told("The largest; all together sum to the mean, or its log odds.")]
    reason: str


class Exclusion(Struct, frozen=True):
    """An item that could not be shown, and why."""

    item_id: str
    reason: str


class Exclusions(Struct, frozen=True):
    """What could not be shown: how many items for which reason, and those that were named, or are few."""

    counts: dict[str, int]
    items: list[Exclusion]


class RecommendedItem(Struct, frozen=True):
    """One item of the slate."""

    item_id: str
    delivery_id: Annotated[str, _told("Send it back with every event of this item.")]
    position: Annotated[int, _told("From 1.")]
    score: Annotated[float, _told("What ranked the item; it compares within this slate only and is no probability.")]
    predicted_click: Annotated[float | None, _told("Probability of a click on an impression, if the policy has one.")]
    expected_value: Annotated[float | None, _told("Per impression, in the shop's currency, where known.")]
    explanation: Annotated[Explanation | UnsetType, _told("With `?explain=true`.")] = UNSET


class Recommendation(Struct, frozen=True):
    """A slate, best first. It is shorter than `limit` where fewer items are eligible, and may be empty."""

    request_id: str
    placement: str
    variant: Annotated[str, _told("The arm this person is in, also when the slate is a fallback.")]
    policy: Annotated[str, _told("The policy that ranked, `fallback` if none could.")]
    model_version: Annotated[str | None, _told("The model that ranked; null if none did.")]
    fallback: Annotated[bool, _told("Whether the gateway ranked by itself because the recommender could not.")]
    ignored: Annotated[list[str], _told("Candidates that were left out: unknown, sold out or hidden.")]
    items: list[RecommendedItem]
    cursor: Annotated[
        str | UnsetType | None, _told("If one was sent: asks for more of the same; null if there is no more.")
    ] = UNSET
    excluded: Annotated[Exclusions | UnsetType, _told("With `?explain=true`.")] = UNSET


class Page(Struct, frozen=True):
    """The slates of one page, in the order in which they were asked for."""

    slates: list[Recommendation]


EXAMPLE = {
    "request_id": "AZX3kQ0AQm9vS3hYcGxYdw",
    "placement": "home-top",
    "variant": "learnt",
    "policy": "thompson",
    "model_version": "clicks/0c9a1f52ab3d@41",
    "fallback": False,
    "ignored": [],
    "items": [
        {
            "item_id": "i7",
            "delivery_id": "AZX3kQ0AQm9vS3hYcGxYdwEBq1v0o7nT",
            "position": 1,
            "score": 0.061,
            "predicted_click": 0.043,
            "expected_value": 1.72,
        }
    ],
}


def answered(placement: str, arm: Arm, reply: pb.RecommendResponse) -> Recommendation:
    """A recommender's slate."""
    is_explained = reply.HasField("excluded")
    items = list(reply.item_id)
    nothing = [None] * len(items)
    rows = zip(
        items,
        reply.delivery_id,
        range(1, len(items) + 1),
        reply.score,
        reply.predicted_click or nothing,
        [None if value != value else value for value in reply.expected_value] or nothing,  # NaN is no number in JSON
        map(_explanation, reply.explanation) if is_explained else [UNSET] * len(items),
        strict=True,
    )
    return Recommendation(
        text_of(reply.request_id),
        placement,
        arm.variant,
        arm.policy,
        reply.model_version or None,
        fallback=False,
        ignored=list(reply.ignored),
        items=list(starmap(RecommendedItem, rows)),
        excluded=_exclusions(reply.excluded) if is_explained else UNSET,
    )


def fallen_back(slate: Slate, ignored: list[str]) -> Recommendation:
    """A slate of the gateway's own."""
    return Recommendation(
        text_of(slate.request_id),
        slate.placement,
        slate.variant,
        slate.policy,
        None,
        fallback=True,
        ignored=ignored,
        items=[
            RecommendedItem(
                delivery.item_id,
                delivery.delivery_id,
                delivery.position,
                delivery.score,
                delivery.predicted_click,
                delivery.expected_value,
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
        contributions=[Contribution(one.feature, one.value) for one in told.contributions],
        reason=told.reason,
    )


def _exclusions(told: pb.Exclusions) -> Exclusions:
    items = [Exclusion(one.item_id, one.reason) for one in told.items]
    return Exclusions(dict(told.counts), items)
