from omakase.v1 import values_pb2 as _values_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecommendBatch(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[RecommendRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[RecommendRequest, _Mapping]]] = ...) -> None: ...

class RecommendReplies(_message.Message):
    __slots__ = ("replies",)
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    replies: _containers.RepeatedCompositeFieldContainer[RecommendReply]
    def __init__(self, replies: _Optional[_Iterable[_Union[RecommendReply, _Mapping]]] = ...) -> None: ...

class RecommendReply(_message.Message):
    __slots__ = ("slate", "refusal")
    SLATE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    slate: RecommendResponse
    refusal: Refusal
    def __init__(self, slate: _Optional[_Union[RecommendResponse, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("placement", "variant", "policy", "model", "unit", "user", "context", "limit", "exclude", "candidates", "restricted", "personalise", "measure", "filter", "explain", "experiment", "assigned_by", "shadow", "unlearnt", "left_ms", "trace")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _values_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_values_pb2.Value, _Mapping]] = ...) -> None: ...
    class FilterEntry(_message.Message):
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
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_BY_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    UNLEARNT_FIELD_NUMBER: _ClassVar[int]
    LEFT_MS_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
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
    filter: _containers.MessageMap[str, _values_pb2.Value]
    explain: bool
    experiment: str
    assigned_by: str
    shadow: bool
    unlearnt: bool
    left_ms: int
    trace: str
    def __init__(self, placement: _Optional[str] = ..., variant: _Optional[str] = ..., policy: _Optional[str] = ..., model: _Optional[str] = ..., unit: _Optional[str] = ..., user: _Optional[str] = ..., context: _Optional[_Mapping[str, _values_pb2.Value]] = ..., limit: _Optional[int] = ..., exclude: _Optional[_Iterable[str]] = ..., candidates: _Optional[_Iterable[str]] = ..., restricted: _Optional[bool] = ..., personalise: _Optional[bool] = ..., measure: _Optional[bool] = ..., filter: _Optional[_Mapping[str, _values_pb2.Value]] = ..., explain: _Optional[bool] = ..., experiment: _Optional[str] = ..., assigned_by: _Optional[str] = ..., shadow: _Optional[bool] = ..., unlearnt: _Optional[bool] = ..., left_ms: _Optional[int] = ..., trace: _Optional[str] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("request_id", "model_version", "ignored", "item_id", "delivery_id", "score", "predicted_click", "expected_value", "explanation", "excluded")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_CLICK_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VALUE_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    model_version: str
    ignored: _containers.RepeatedScalarFieldContainer[str]
    item_id: _containers.RepeatedScalarFieldContainer[str]
    delivery_id: _containers.RepeatedScalarFieldContainer[str]
    score: _containers.RepeatedScalarFieldContainer[float]
    predicted_click: _containers.RepeatedScalarFieldContainer[float]
    expected_value: _containers.RepeatedScalarFieldContainer[float]
    explanation: _containers.RepeatedCompositeFieldContainer[Explanation]
    excluded: Exclusions
    def __init__(self, request_id: _Optional[bytes] = ..., model_version: _Optional[str] = ..., ignored: _Optional[_Iterable[str]] = ..., item_id: _Optional[_Iterable[str]] = ..., delivery_id: _Optional[_Iterable[str]] = ..., score: _Optional[_Iterable[float]] = ..., predicted_click: _Optional[_Iterable[float]] = ..., expected_value: _Optional[_Iterable[float]] = ..., explanation: _Optional[_Iterable[_Union[Explanation, _Mapping]]] = ..., excluded: _Optional[_Union[Exclusions, _Mapping]] = ...) -> None: ...

class Exclusions(_message.Message):
    __slots__ = ("counts", "items")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.ScalarMap[str, int]
    items: _containers.RepeatedCompositeFieldContainer[Excluded]
    def __init__(self, counts: _Optional[_Mapping[str, int]] = ..., items: _Optional[_Iterable[_Union[Excluded, _Mapping]]] = ...) -> None: ...

class Excluded(_message.Message):
    __slots__ = ("item_id", "reason")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    reason: str
    def __init__(self, item_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("draw", "mean", "deviation", "place_by_mean", "contributions", "reason")
    DRAW_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    DEVIATION_FIELD_NUMBER: _ClassVar[int]
    PLACE_BY_MEAN_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    draw: float
    mean: float
    deviation: float
    place_by_mean: int
    contributions: _containers.RepeatedCompositeFieldContainer[Contribution]
    reason: str
    def __init__(self, draw: _Optional[float] = ..., mean: _Optional[float] = ..., deviation: _Optional[float] = ..., place_by_mean: _Optional[int] = ..., contributions: _Optional[_Iterable[_Union[Contribution, _Mapping]]] = ..., reason: _Optional[str] = ...) -> None: ...

class Contribution(_message.Message):
    __slots__ = ("feature", "value")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    feature: str
    value: float
    def __init__(self, feature: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
