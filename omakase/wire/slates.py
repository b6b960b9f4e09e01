"""Slates, and what an event needs to know of them."""

from __future__ import annotations

from dataclasses import dataclass

from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.events import Joined
from omakase.core.ids import MAX_POSITION, Pseudonym, RequestId
from omakase.core.slates import Delivery, Slate, Stamped
from omakase.v1 import events_pb2 as pb
from omakase.wire.facts import decode_factor, decode_facts, encode_factor, encode_facts
from omakase.wire.framing import parse
from omakase.wire.stamped import encode_stamped


def slate_message(slate: Slate) -> pb.Slate:
    message = _header(slate)
    for delivery in slate.deliveries:
        encoded = message.deliveries.add(
            position=delivery.position,
            item_id=delivery.item_id,
            delivery_id=delivery.delivery_id,
            score=delivery.score,
            predicted_click=delivery.predicted_click,
            expected_value=delivery.expected_value,
            propensity=delivery.propensity,
            item_factor=encode_factor(delivery.item_factor),
        )
        encode_facts(delivery.metadata, encoded.metadata)
    return message


def _header(slate: Slate) -> pb.Slate:
    """All but the deliveries."""
    message = pb.Slate(
        request_id=slate.request_id,
        served_at=slate.served_at,
        placement=slate.placement,
        variant=slate.variant,
        policy=slate.policy,
        model=slate.model,
        model_version=slate.model_version,
        catalogue_generation=slate.catalogue_generation,
        unit=slate.unit,
        user=slate.user,
        context_factor=encode_factor(slate.context_factor),
        fallback=slate.fallback,
        experiment=slate.experiment,
        assigned_by=slate.assigned_by,
        shadow=slate.shadow,
        trace=slate.trace,
    )
    encode_facts(slate.context, message.context)
    return message


def encode_slate(slate: Slate) -> bytes:
    if isinstance(slate.deliveries, Stamped):
        return _header(slate).SerializeToString() + encode_stamped(slate.deliveries)
    return slate_message(slate).SerializeToString()


def decode_slate(body: bytes) -> Slate:
    """Raises: Corrupt if the bytes are not a slate that could have been served."""
    return slate_of(parse(pb.Slate, body))


def slate_of(message: pb.Slate) -> Slate:
    """Raises: Corrupt."""
    check_slate(message)
    try:
        return Slate(
            request_id=RequestId(message.request_id),
            served_at=message.served_at,
            placement=message.placement,
            variant=message.variant,
            policy=message.policy,
            model=message.model,
            model_version=message.model_version,
            catalogue_generation=message.catalogue_generation,
            unit=Pseudonym(message.unit),
            user=Pseudonym(message.user),
            context=decode_facts(message.context),
            context_factor=decode_factor(message.context_factor),
            deliveries=tuple(_delivery_of(delivery) for delivery in message.deliveries),
            fallback=message.fallback,
            experiment=message.experiment,
            assigned_by=message.assigned_by,
            shadow=message.shadow,
            trace=message.trace,
        )
    except InvalidInput as error:
        raise Corrupt(str(error)) from error


def encode_joined(joined: Joined) -> pb.Joined:
    return pb.Joined(
        served_at=joined.served_at,
        placement=joined.placement,
        variant=joined.variant,
        policy=joined.policy,
        model=joined.model,
        unit=joined.unit,
        item_id=joined.item_id,
        context_factor=encode_factor(joined.context_factor),
        item_factor=encode_factor(joined.item_factor),
        predicted_click=joined.predicted_click,
        trace=joined.trace,
    )


def joined_of(message: pb.Joined) -> Joined:
    """Raises: Corrupt."""
    return Joined(
        served_at=message.served_at,
        placement=message.placement,
        variant=message.variant,
        policy=message.policy,
        model=message.model,
        unit=Pseudonym(message.unit),
        item_id=message.item_id,
        context_factor=decode_factor(message.context_factor),
        item_factor=decode_factor(message.item_factor),
        predicted_click=message.predicted_click if message.HasField("predicted_click") else None,
        trace=message.trace,
    )


@dataclass(frozen=True, slots=True)
class SpooledSlate:
    """A slate's record as it was spooled, and what it is kept by: no fact, no factor and no item is decoded.

    `positions` is how many deliveries it has. `served_at` in Unix seconds.
    """

    body: bytes
    request_id: RequestId
    served_at: float
    unit: Pseudonym
    user: Pseudonym
    positions: int

    @classmethod
    def of(cls, body: bytes) -> SpooledSlate:
        """Cost: about 12 µs for ten deliveries, a tenth of `decode_slate`.

        Raises: Corrupt if the bytes are not a slate, or one that could not have been served. A fact or a factor that is
        wrong is found by who decodes it.
        """
        slate = parse(pb.Slate, body)
        check_slate(slate)
        if not 0 <= slate.served_at < 1e11:
            raise Corrupt("served_at must be Unix seconds")
        # Nothing of the message is kept: its memory is several times that of the bytes.
        return cls(
            body,
            RequestId(slate.request_id),
            slate.served_at,
            Pseudonym(slate.unit),
            Pseudonym(slate.user),
            len(slate.deliveries),
        )


class RecordedSlate:
    """A slate's record as it was spooled, opened only as far as its events need: no fact and no factor is decoded.

    Cost: about 15 µs to open one of ten deliveries, then 2 µs a delivery; a sixth of `decode_slate` and `Joined.of`.
    """

    def __init__(self, body: bytes) -> None:
        """Raises: Corrupt if the bytes are not a slate."""
        slate = parse(pb.Slate, body)
        self._slate = slate
        self._deliveries = slate.deliveries
        common = pb.Joined(
            served_at=slate.served_at,
            placement=slate.placement,
            variant=slate.variant,
            policy=slate.policy,
            model=slate.model,
            unit=slate.unit,
            context_factor=slate.context_factor,
            trace=slate.trace,
        )
        self._common = common.SerializeToString()

    @property
    def unit(self) -> Pseudonym:
        return Pseudonym(self._slate.unit)

    @property
    def user(self) -> Pseudonym:
        return Pseudonym(self._slate.user)

    @property
    def trace(self) -> str:
        """A traceparent; empty if it is not traced."""
        return self._slate.trace

    @property
    def shown(self) -> tuple[float, str, str, str]:
        """When and by what it was served: served_at, placement, variant, policy."""
        slate = self._slate
        return slate.served_at, slate.placement, slate.variant, slate.policy

    @property
    def item_ids(self) -> list[str]:
        """By position, the first of which is 1."""
        return [delivery.item_id for delivery in self._deliveries]

    def joined(self, position: int) -> bytes | None:
        """What `encode_joined` makes of this position, order of fields aside; None if the slate does not have it."""
        if not 1 <= position <= len(self._deliveries):
            return None
        delivery = self._deliveries[position - 1]
        own = pb.Joined(item_id=delivery.item_id, item_factor=delivery.item_factor)
        if delivery.HasField("predicted_click"):
            own.predicted_click = delivery.predicted_click
        return self._common + own.SerializeToString()  # protobuf: messages merge by concatenation


def check_slate(message: pb.Slate) -> None:
    positions = [delivery.position for delivery in message.deliveries]
    in_order = len(positions) <= MAX_POSITION and positions == list(range(1, len(positions) + 1))
    if len(message.request_id) != 16 or not in_order:
        raise Corrupt(f"a slate needs a request id of 16 bytes and positions from 1 to at most {MAX_POSITION}")


def _delivery_of(message: pb.Delivery) -> Delivery:
    return Delivery(
        position=message.position,
        item_id=message.item_id,
        delivery_id=message.delivery_id,
        score=message.score,
        predicted_click=message.predicted_click if message.HasField("predicted_click") else None,
        expected_value=message.expected_value if message.HasField("expected_value") else None,
        propensity=message.propensity if message.HasField("propensity") else None,
        item_factor=decode_factor(message.item_factor),
        metadata=decode_facts(message.metadata),
    )
