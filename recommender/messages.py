"""Between what crosses the wire and what is ranked."""

from __future__ import annotations

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
    return pb.RecommendReply(slate=response)


def refusal_of(error: OmakaseError) -> pb.RecommendReply:
    return pb.RecommendReply(refusal=pb.Refusal(code=code_of(error).value[0], message=str(error)))
