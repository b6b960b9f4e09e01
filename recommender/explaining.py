"""Explanations for people who ask why a slate is as it is."""

from __future__ import annotations

from collections.abc import Sequence

from omakase.core.coordinates import columns, coordinates
from omakase.core.explanation import Explanation, explain
from omakase.v1 import recommender_pb2 as pb
from recommender.bundle import ServedModel
from recommender.ranking import Made


def add_explanations(response: pb.RecommendResponse, made: Made) -> None:
    """Say of each item why it stands where it does, and of the others why they could not be shown."""
    names = [] if made.model is None else _names(made.model)
    explained = explain(made.scorer, made.policy.scale, names, made.context, made.choice, made.ranking)
    for item, explanation in zip(response.items, explained, strict=True):
        item.explanation.CopyFrom(_message(explanation))


def _names(model: ServedModel) -> Sequence[str]:
    """Those of x's coordinates, and behind them those that a model with a part of its own for each item has."""
    own = ["its own", *(f"its own × {name}" for name in columns(model.spec.context))]
    return [*coordinates(model.spec), *own]


def _message(explanation: Explanation) -> pb.Explanation:
    return pb.Explanation(
        draw=explanation.draw,
        mean=explanation.mean,
        deviation=explanation.deviation,
        place_by_mean=explanation.place_by_mean,
        contributions=[pb.Contribution(feature=one.feature, value=one.value) for one in explanation.contributions],
        reason=explanation.reason,
    )
