"""A slate's training state as bytes: what the trainer keeps between ticks. It names no person."""

from __future__ import annotations

from omakase.core.ids import RequestId
from omakase.core.sessions import DeliveryState, Learnt, Seen, SlateState
from omakase.v1 import training_pb2 as pb
from omakase.wire import encode_joined, joined_of


def encode_state(state: SlateState) -> bytes:
    """Field by field: to make submessages from keyword arguments takes half as long again."""
    message = pb.SlateState(request_id=state.request_id, positions=state.positions, is_trainable=state.is_trainable)
    message.is_discarded = state.is_discarded
    for position, delivery in state.deliveries.items():
        _encode_delivery(position, delivery, message.deliveries.add())
    return message.SerializeToString()


def _encode_delivery(position: int, delivery: DeliveryState, into: pb.DeliveryState) -> None:
    into.position = position
    into.settled = delivery.settled
    into.excluded = delivery.excluded
    into.repeats.extend(delivery.repeats)
    for receipt_id, kind, received_at, value, event_id in delivery.seen:
        seen = into.seen.add()
        seen.receipt_id = receipt_id
        seen.type = kind
        seen.received_at = received_at
        seen.event_id = event_id
        if value is not None:
            seen.value = value
    if delivery.joined is not None:
        into.joined.CopyFrom(encode_joined(delivery.joined))
        into.joined.ClearField("unit")
    if delivery.learnt is not None:
        into.learnt.outcomes.update(delivery.learnt.outcomes)
        into.learnt.weight = delivery.learnt.weight
        into.learnt.used = delivery.learnt.used


def decode_state(body: bytes) -> SlateState:
    message = pb.SlateState.FromString(body)
    request_id = RequestId(message.request_id)
    return SlateState(
        request_id=request_id,
        positions=message.positions,
        is_trainable=message.is_trainable,
        deliveries={delivery.position: _delivery_of(delivery) for delivery in message.deliveries},
        is_discarded=message.is_discarded,
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
