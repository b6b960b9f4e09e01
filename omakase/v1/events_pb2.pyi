from omakase.v1 import values_pb2 as _values_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Slate(_message.Message):
    __slots__ = ("request_id", "served_at", "placement", "variant", "policy", "model", "model_version", "catalogue_generation", "unit", "user", "context", "context_factor", "deliveries", "fallback", "assigned_by", "shadow", "trace", "experiment")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _values_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_values_pb2.Value, _Mapping]] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SERVED_AT_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_GENERATION_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FACTOR_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_BY_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    served_at: float
    placement: str
    variant: str
    policy: str
    model: str
    model_version: str
    catalogue_generation: int
    unit: str
    user: str
    context: _containers.MessageMap[str, _values_pb2.Value]
    context_factor: bytes
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    fallback: bool
    assigned_by: str
    shadow: bool
    trace: str
    experiment: str
    def __init__(self, request_id: _Optional[bytes] = ..., served_at: _Optional[float] = ..., placement: _Optional[str] = ..., variant: _Optional[str] = ..., policy: _Optional[str] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ..., catalogue_generation: _Optional[int] = ..., unit: _Optional[str] = ..., user: _Optional[str] = ..., context: _Optional[_Mapping[str, _values_pb2.Value]] = ..., context_factor: _Optional[bytes] = ..., deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., fallback: _Optional[bool] = ..., assigned_by: _Optional[str] = ..., shadow: _Optional[bool] = ..., trace: _Optional[str] = ..., experiment: _Optional[str] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("position", "item_id", "delivery_id", "score", "predicted_click", "expected_value", "propensity", "item_factor", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _values_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_values_pb2.Value, _Mapping]] = ...) -> None: ...
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_CLICK_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VALUE_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    ITEM_FACTOR_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    position: int
    item_id: str
    delivery_id: str
    score: float
    predicted_click: float
    expected_value: float
    propensity: float
    item_factor: bytes
    metadata: _containers.MessageMap[str, _values_pb2.Value]
    def __init__(self, position: _Optional[int] = ..., item_id: _Optional[str] = ..., delivery_id: _Optional[str] = ..., score: _Optional[float] = ..., predicted_click: _Optional[float] = ..., expected_value: _Optional[float] = ..., propensity: _Optional[float] = ..., item_factor: _Optional[bytes] = ..., metadata: _Optional[_Mapping[str, _values_pb2.Value]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("receipt_id", "request_id", "position", "type", "value", "event_id", "received_at", "occurred_at", "delivery", "unwanted", "by_server")
    RECEIPT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    UNWANTED_FIELD_NUMBER: _ClassVar[int]
    BY_SERVER_FIELD_NUMBER: _ClassVar[int]
    receipt_id: bytes
    request_id: bytes
    position: int
    type: str
    value: float
    event_id: str
    received_at: float
    occurred_at: float
    delivery: Joined
    unwanted: str
    by_server: bool
    def __init__(self, receipt_id: _Optional[bytes] = ..., request_id: _Optional[bytes] = ..., position: _Optional[int] = ..., type: _Optional[str] = ..., value: _Optional[float] = ..., event_id: _Optional[str] = ..., received_at: _Optional[float] = ..., occurred_at: _Optional[float] = ..., delivery: _Optional[_Union[Joined, _Mapping]] = ..., unwanted: _Optional[str] = ..., by_server: _Optional[bool] = ...) -> None: ...

class Joined(_message.Message):
    __slots__ = ("served_at", "placement", "variant", "policy", "model", "unit", "item_id", "context_factor", "item_factor", "predicted_click", "trace")
    SERVED_AT_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FACTOR_FIELD_NUMBER: _ClassVar[int]
    ITEM_FACTOR_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_CLICK_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    served_at: float
    placement: str
    variant: str
    policy: str
    model: str
    unit: str
    item_id: str
    context_factor: bytes
    item_factor: bytes
    predicted_click: float
    trace: str
    def __init__(self, served_at: _Optional[float] = ..., placement: _Optional[str] = ..., variant: _Optional[str] = ..., policy: _Optional[str] = ..., model: _Optional[str] = ..., unit: _Optional[str] = ..., item_id: _Optional[str] = ..., context_factor: _Optional[bytes] = ..., item_factor: _Optional[bytes] = ..., predicted_click: _Optional[float] = ..., trace: _Optional[str] = ...) -> None: ...

class Propensities(_message.Message):
    __slots__ = ("request_id", "propensity", "draws", "occurrences", "capped")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    DRAWS_FIELD_NUMBER: _ClassVar[int]
    OCCURRENCES_FIELD_NUMBER: _ClassVar[int]
    CAPPED_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    propensity: _containers.RepeatedScalarFieldContainer[float]
    draws: _containers.RepeatedScalarFieldContainer[int]
    occurrences: _containers.RepeatedScalarFieldContainer[int]
    capped: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, request_id: _Optional[bytes] = ..., propensity: _Optional[_Iterable[float]] = ..., draws: _Optional[_Iterable[int]] = ..., occurrences: _Optional[_Iterable[int]] = ..., capped: _Optional[_Iterable[bool]] = ...) -> None: ...

class Discarded(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    def __init__(self, request_id: _Optional[bytes] = ...) -> None: ...

class BusMessage(_message.Message):
    __slots__ = ("slate", "event", "propensities", "discarded")
    SLATE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    PROPENSITIES_FIELD_NUMBER: _ClassVar[int]
    DISCARDED_FIELD_NUMBER: _ClassVar[int]
    slate: Slate
    event: Event
    propensities: Propensities
    discarded: Discarded
    def __init__(self, slate: _Optional[_Union[Slate, _Mapping]] = ..., event: _Optional[_Union[Event, _Mapping]] = ..., propensities: _Optional[_Union[Propensities, _Mapping]] = ..., discarded: _Optional[_Union[Discarded, _Mapping]] = ...) -> None: ...
