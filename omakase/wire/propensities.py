"""How likely slates were, as a spool and the bus carry it: both hold the same bytes."""

from __future__ import annotations

import numpy as np

from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.ids import RequestId
from omakase.core.propensities import Propensities, SlatePropensities
from omakase.v1 import events_pb2 as pb
from omakase.wire.framing import field, parse

_TAG = bytes((pb.BusMessage.PROPENSITIES_FIELD_NUMBER << 3 | 2,))


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
    if len(message.request_id) != 16:
        raise Corrupt("propensities need a request id of 16 bytes")
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
