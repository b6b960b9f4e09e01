"""Explanations for people who ask why a slate is as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from omakase.core.catalogue import Mask
from omakase.core.coordinates import columns, coordinates
from omakase.core.explanation import Explanation, explain
from omakase.core.item_ids import UNKNOWN
from omakase.core.policies import Source
from omakase.core.top import Indices
from omakase.v1 import recommender_pb2 as pb
from recommender.bundle import ServedModel
from recommender.ranking import Made

# So many of the items that nobody named are told of; of the others how many there are.
_MOST_TOLD = 50


def add_explanations(response: pb.RecommendResponse, made: Made) -> None:
    """Say of each item why it stands where it does, and of the others why they could not be shown."""
    names = [] if made.model is None else _names(made.model)
    # A policy that ranks by nothing has a model beside it for what it predicts alone.
    scorer = None if made.policy.source is Source.NOTHING else made.scorer
    explained = explain(scorer, made.policy.scale, names, made.context, made.choice, made.ranking)
    response.explanation.extend(map(_message, explained))
    response.excluded.CopyFrom(_exclusions(made))


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


def _exclusions(made: Made) -> pb.Exclusions:
    """Each item that was not eligible has one reason, the first that holds."""
    told = pb.Exclusions()
    named = _places(made, [*made.query.exclude, *(made.query.candidates or ())])
    rest = ~made.choice.eligible
    for reason, mask in _reasons(made):
        held = np.flatnonzero(rest & mask)
        rest &= ~mask
        if not held.size:
            continue
        told.counts[reason] = held.size
        for i in (held if held.size <= _MOST_TOLD else held[np.isin(held, named)]).tolist():
            told.items.add(item_id=made.catalogue.item_ids[i], reason=reason)
    return told


def _reasons(made: Made) -> Iterator[tuple[str, Mask]]:
    query, catalogue, n = made.query, made.catalogue, len(made.catalogue)
    if made.model is not None and made.model.items.misfits:
        yield "its metadata does not fit the model's features", _mask(n, _places(made, list(made.model.items.misfits)))
    yield from catalogue.unavailable().items()
    if query.candidates is not None:
        yield "not among the candidates", ~_mask(n, _places(made, query.candidates))
    yield "excluded by the request", _mask(n, _places(made, query.exclude))
    if query.filters:
        yield "filtered out", ~catalogue.eligible([], None, query.filters)[0]
    yield "delivered as often as its stock allows", np.ones(n, dtype=np.bool_)


def _places(made: Made, item_ids: Sequence[str]) -> Indices:
    places: Indices = made.catalogue.places(item_ids)
    known: Indices = places[places != UNKNOWN]
    return known


def _mask(n: int, places: Indices) -> Mask:
    mask = np.zeros(n, dtype=np.bool_)
    mask[places] = True
    return mask
