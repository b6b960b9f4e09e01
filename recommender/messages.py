"""Between what crosses the wire and what is ranked."""

from __future__ import annotations

import math

from omakase.core.errors import OmakaseError
from omakase.core.ids import Pseudonym
from omakase.serving.rpc import code_of
from omakase.v1 import recommender_pb2 as pb
from omakase.wire import decode_facts
from recommender.explaining import add_explanations
from recommender.ranking import Answer, Query


def query_of(request: pb.RecommendRequest) -> Query:
    """Of the context, which may not be used without consent, nothing is read then."""
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
        experiment=request.experiment,
        assigned_by=request.assigned_by,
        shadow=request.shadow,
        learnt=not (request.unlearnt or request.shadow),
        trace=request.trace,
    )


def reply_of(answer: Answer, *, explain: bool = False) -> pb.RecommendReply:
    slate, rows = answer.slate, answer.stamped
    expected = None if rows.predicted_click is None else [rows.expected_value(place) for place in range(len(rows))]
    response = pb.RecommendResponse(
        request_id=slate.request_id,
        model_version=slate.model_version,
        ignored=answer.ignored,
        item_id=[item.item_id for item in rows.shown],
        delivery_id=rows.delivery_ids,
        score=rows.scores,
        predicted_click=rows.predicted_click,
        expected_value=None if expected is None else [math.nan if value is None else value for value in expected],
    )
    if explain:
        add_explanations(response, answer.made)
    return pb.RecommendReply(slate=response)


def refusal_of(error: OmakaseError) -> pb.RecommendReply:
    return pb.RecommendReply(refusal=pb.Refusal(code=code_of(error).value[0], message=str(error)))
