from omakase.v1 import events_pb2 as _events_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SlateState(_message.Message):
    __slots__ = ("request_id", "positions", "is_trainable", "deliveries", "is_discarded")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    IS_TRAINABLE_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    IS_DISCARDED_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    positions: int
    is_trainable: bool
    deliveries: _containers.RepeatedCompositeFieldContainer[DeliveryState]
    is_discarded: bool
    def __init__(self, request_id: _Optional[bytes] = ..., positions: _Optional[int] = ..., is_trainable: _Optional[bool] = ..., deliveries: _Optional[_Iterable[_Union[DeliveryState, _Mapping]]] = ..., is_discarded: _Optional[bool] = ...) -> None: ...

class DeliveryState(_message.Message):
    __slots__ = ("position", "seen", "settled", "repeats", "joined", "learnt", "excluded")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    LEARNT_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    position: int
    seen: _containers.RepeatedCompositeFieldContainer[Seen]
    settled: int
    repeats: _containers.RepeatedScalarFieldContainer[bytes]
    joined: _events_pb2.Joined
    learnt: Learnt
    excluded: bool
    def __init__(self, position: _Optional[int] = ..., seen: _Optional[_Iterable[_Union[Seen, _Mapping]]] = ..., settled: _Optional[int] = ..., repeats: _Optional[_Iterable[bytes]] = ..., joined: _Optional[_Union[_events_pb2.Joined, _Mapping]] = ..., learnt: _Optional[_Union[Learnt, _Mapping]] = ..., excluded: _Optional[bool] = ...) -> None: ...

class Seen(_message.Message):
    __slots__ = ("receipt_id", "type", "value", "event_id", "received_at")
    RECEIPT_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    receipt_id: bytes
    type: str
    value: float
    event_id: str
    received_at: float
    def __init__(self, receipt_id: _Optional[bytes] = ..., type: _Optional[str] = ..., value: _Optional[float] = ..., event_id: _Optional[str] = ..., received_at: _Optional[float] = ...) -> None: ...

class Learnt(_message.Message):
    __slots__ = ("outcomes", "weight", "used")
    class OutcomesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.ScalarMap[str, float]
    weight: float
    used: int
    def __init__(self, outcomes: _Optional[_Mapping[str, float]] = ..., weight: _Optional[float] = ..., used: _Optional[int] = ...) -> None: ...
