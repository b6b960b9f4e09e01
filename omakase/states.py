"""A slate's training state as bytes: what the trainer keeps between ticks. It names no person."""

from __future__ import annotations

from dataclasses import replace

from omakase.core.ids import NOBODY, RequestId
from omakase.core.sessions import DeliveryState, Learnt, Seen, SlateState
from omakase.v1 import training_pb2 as pb
from omakase.wire import encode_joined, joined_of


def encode_state(state: SlateState) -> bytes:
    message = pb.SlateState(request_id=state.request_id, positions=state.positions, is_trainable=state.is_trainable)
    for position, delivery in state.deliveries.items():
        encoded = message.deliveries.add(
            position=position, settled=delivery.settled, repeats=delivery.repeats, excluded=delivery.excluded
        )
        for event in delivery.seen:
            encoded.seen.add(
                receipt_id=event.receipt_id,
                type=event.type,
                value=event.value,
                event_id=event.event_id,
                received_at=event.received_at,
            )
        if delivery.joined is not None:
            encoded.joined.CopyFrom(encode_joined(replace(delivery.joined, unit=NOBODY)))
        if delivery.learnt is not None:
            learnt = delivery.learnt
            encoded.learnt.CopyFrom(pb.Learnt(outcomes=dict(learnt.outcomes), weight=learnt.weight, used=learnt.used))
    return message.SerializeToString()


def decode_state(body: bytes) -> SlateState:
    message = pb.SlateState.FromString(body)
    request_id = RequestId(message.request_id)
    return SlateState(
        request_id=request_id,
        positions=message.positions,
        is_trainable=message.is_trainable,
        deliveries={delivery.position: _delivery_of(delivery) for delivery in message.deliveries},
    )


def _delivery_of(message: pb.DeliveryState) -> DeliveryState:
    return DeliveryState(
        seen=tuple(
            Seen(
                seen.receipt_id,
                seen.type,
                seen.received_at,
                seen.value if seen.HasField("value") else None,
                seen.event_id,
            )
            for seen in message.seen
        ),
        settled=message.settled,
        repeats=tuple(message.repeats),
        joined=joined_of(message.joined) if message.HasField("joined") else None,
        learnt=_learnt_of(message.learnt) if message.HasField("learnt") else None,
        excluded=message.excluded,
    )


def _learnt_of(message: pb.Learnt) -> Learnt:
    return Learnt(dict(message.outcomes), message.weight, message.used)
