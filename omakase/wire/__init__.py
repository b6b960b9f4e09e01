"""Domain records to protobuf and back. The only place that knows both."""

from omakase.wire.bus import (
    bus_body,
    bus_body_of_event,
    bus_body_of_slate,
    bus_body_of_unread_event,
    decode_bus_body,
    decode_bus_event,
    decode_for_training,
    request_id_of,
)
from omakase.wire.discards import decode_discarded, encode_discarded, is_discarded
from omakase.wire.events import decode_event, encode_event, event_message, event_of
from omakase.wire.facts import decode_factor, decode_facts, encode_factor, encode_facts
from omakase.wire.propensities import (
    SpooledPropensities,
    decode_propensities,
    encode_propensities,
    is_propensities,
)
from omakase.wire.slates import (
    RecordedSlate,
    SpooledSlate,
    decode_slate,
    encode_joined,
    encode_slate,
    joined_of,
    slate_message,
    slate_of,
)

__all__ = [
    "RecordedSlate",
    "SpooledPropensities",
    "SpooledSlate",
    "bus_body",
    "bus_body_of_event",
    "bus_body_of_slate",
    "bus_body_of_unread_event",
    "decode_bus_body",
    "decode_bus_event",
    "decode_discarded",
    "decode_event",
    "decode_factor",
    "decode_facts",
    "decode_for_training",
    "decode_propensities",
    "decode_slate",
    "encode_discarded",
    "encode_event",
    "encode_factor",
    "encode_facts",
    "encode_joined",
    "encode_propensities",
    "encode_slate",
    "event_message",
    "event_of",
    "is_discarded",
    "is_propensities",
    "joined_of",
    "request_id_of",
    "slate_message",
    "slate_of",
]
