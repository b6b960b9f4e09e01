from omakase.v1 import values_pb2 as _values_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecommendRequest(_message.Message):
    __slots__ = ("placement", "variant", "policy", "model", "unit", "user", "context", "limit", "exclude", "candidates", "restricted", "personalise", "measure")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _values_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_values_pb2.Value, _Mapping]] = ...) -> None: ...
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    PERSONALISE_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    placement: str
    variant: str
    policy: str
    model: str
    unit: str
    user: str
    context: _containers.MessageMap[str, _values_pb2.Value]
    limit: int
    exclude: _containers.RepeatedScalarFieldContainer[str]
    candidates: _containers.RepeatedScalarFieldContainer[str]
    restricted: bool
    personalise: bool
    measure: bool
    def __init__(self, placement: _Optional[str] = ..., variant: _Optional[str] = ..., policy: _Optional[str] = ..., model: _Optional[str] = ..., unit: _Optional[str] = ..., user: _Optional[str] = ..., context: _Optional[_Mapping[str, _values_pb2.Value]] = ..., limit: _Optional[int] = ..., exclude: _Optional[_Iterable[str]] = ..., candidates: _Optional[_Iterable[str]] = ..., restricted: _Optional[bool] = ..., personalise: _Optional[bool] = ..., measure: _Optional[bool] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("request_id", "model_version", "ignored", "items")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    model_version: str
    ignored: _containers.RepeatedScalarFieldContainer[str]
    items: _containers.RepeatedCompositeFieldContainer[RankedItem]
    def __init__(self, request_id: _Optional[bytes] = ..., model_version: _Optional[str] = ..., ignored: _Optional[_Iterable[str]] = ..., items: _Optional[_Iterable[_Union[RankedItem, _Mapping]]] = ...) -> None: ...

class RankedItem(_message.Message):
    __slots__ = ("item_id", "delivery_id", "position", "score", "predicted_click", "expected_value")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_CLICK_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VALUE_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    delivery_id: str
    position: int
    score: float
    predicted_click: float
    expected_value: float
    def __init__(self, item_id: _Optional[str] = ..., delivery_id: _Optional[str] = ..., position: _Optional[int] = ..., score: _Optional[float] = ..., predicted_click: _Optional[float] = ..., expected_value: _Optional[float] = ...) -> None: ...
