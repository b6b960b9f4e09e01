"""How likely slates were, as a spool and the bus carry it: both hold the same bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.ids import MAX_POSITION, RequestId
from omakase.core.propensities import Propensities, SlatePropensities
from omakase.v1 import events_pb2 as pb
from omakase.wire.framing import field, parse

_TAG = bytes((pb.BusMessage.PROPENSITIES_FIELD_NUMBER << 3 | 2,))


@dataclass(frozen=True, slots=True)
class SpooledPropensities:
    """A slate's propensities as they were spooled, and what they are kept by: no number is decoded."""

    body: bytes
    request_id: RequestId
    positions: int

    @classmethod
    def of(cls, body: bytes) -> SpooledPropensities:
        """Cost: some microseconds. Raises: Corrupt if the bytes are no propensities, or not of as many positions each.

        A number that could not have been counted is found by who decodes it.
        """
        message = parse(pb.BusMessage, body).propensities
        check_propensities(message)
        return cls(body, RequestId(message.request_id), len(message.draws))


def encode_propensities(record: SlatePropensities) -> bytes:
    """A body of the bus, which `is_propensities`."""
    positions = record.positions
    message = pb.Propensities(
        request_id=record.request_id,
        propensity=positions.propensity.tolist(),
        draws=positions.draws.tolist(),
        occurrences=positions.occurrences.tolist(),
        capped=positions.is_capped.tolist(),
    )
    return field(pb.BusMessage.PROPENSITIES_FIELD_NUMBER, message.SerializeToString())


def is_propensities(body: bytes) -> bool:
    """Whether a body of the bus, or a spooled record, is of propensities. Cost: a look at its first byte.

    A spooled slate begins with its request id, another field than this.
    """
    return body[:1] == _TAG


def decode_propensities(body: bytes) -> SlatePropensities:
    """Raises: Corrupt if the bytes are no propensities that could have been counted."""
    return propensities_of(parse(pb.BusMessage, body).propensities)


def propensities_of(message: pb.Propensities) -> SlatePropensities:
    """Raises: Corrupt."""
    check_propensities(message)
    try:
        positions = Propensities(
            np.array(message.propensity, dtype=np.float64),
            np.array(message.draws, dtype=np.int64),
            np.array(message.occurrences, dtype=np.int64),
            np.array(message.capped, dtype=np.bool_),
        )
    except InvalidInput as error:
        raise Corrupt(str(error)) from error
    return SlatePropensities(RequestId(message.request_id), positions)


def check_propensities(message: pb.Propensities) -> None:
    """Raises: Corrupt."""
    columns = message.propensity, message.draws, message.occurrences, message.capped
    counts = {len(column) for column in columns}
    if len(message.request_id) != 16 or len(counts) != 1 or max(counts) > MAX_POSITION:
        raise Corrupt(
            f"propensities need a request id of 16 bytes, and 0 to {MAX_POSITION} positions, each with its draws"
        )
