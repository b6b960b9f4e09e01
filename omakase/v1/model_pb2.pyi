from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelSnapshot(_message.Message):
    __slots__ = ("model", "schema_id", "dimensions", "precision", "outcomes", "weight", "examples", "sequences", "published_at", "frozen", "reason", "as_of", "half_life_s", "format", "trusted_from", "is_logit", "rows", "items")
    class SequencesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_ID_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_AT_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    HALF_LIFE_S_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    TRUSTED_FROM_FIELD_NUMBER: _ClassVar[int]
    IS_LOGIT_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    model: str
    schema_id: str
    dimensions: int
    precision: bytes
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    weight: float
    examples: int
    sequences: _containers.ScalarMap[str, int]
    published_at: float
    frozen: bool
    reason: str
    as_of: float
    half_life_s: float
    format: int
    trusted_from: float
    is_logit: bool
    rows: Rows
    items: Items
    def __init__(self, model: _Optional[str] = ..., schema_id: _Optional[str] = ..., dimensions: _Optional[int] = ..., precision: _Optional[bytes] = ..., outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ..., weight: _Optional[float] = ..., examples: _Optional[int] = ..., sequences: _Optional[_Mapping[str, int]] = ..., published_at: _Optional[float] = ..., frozen: _Optional[bool] = ..., reason: _Optional[str] = ..., as_of: _Optional[float] = ..., half_life_s: _Optional[float] = ..., format: _Optional[int] = ..., trusted_from: _Optional[float] = ..., is_logit: _Optional[bool] = ..., rows: _Optional[_Union[Rows, _Mapping]] = ..., items: _Optional[_Union[Items, _Mapping]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("name", "moment", "energy")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MOMENT_FIELD_NUMBER: _ClassVar[int]
    ENERGY_FIELD_NUMBER: _ClassVar[int]
    name: str
    moment: bytes
    energy: float
    def __init__(self, name: _Optional[str] = ..., moment: _Optional[bytes] = ..., energy: _Optional[float] = ...) -> None: ...

class Rows(_message.Message):
    __slots__ = ("context_width", "item_width", "contexts", "items", "weight", "at", "after", "before")
    CONTEXT_WIDTH_FIELD_NUMBER: _ClassVar[int]
    ITEM_WIDTH_FIELD_NUMBER: _ClassVar[int]
    CONTEXTS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    context_width: int
    item_width: int
    contexts: bytes
    items: bytes
    weight: bytes
    at: bytes
    after: bytes
    before: bytes
    def __init__(self, context_width: _Optional[int] = ..., item_width: _Optional[int] = ..., contexts: _Optional[bytes] = ..., items: _Optional[bytes] = ..., weight: _Optional[bytes] = ..., at: _Optional[bytes] = ..., after: _Optional[bytes] = ..., before: _Optional[bytes] = ...) -> None: ...

class Items(_message.Message):
    __slots__ = ("item_ids", "dimensions", "precision", "weights", "seen_at", "outcomes")
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    SEEN_AT_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    dimensions: int
    precision: bytes
    weights: bytes
    seen_at: bytes
    outcomes: _containers.RepeatedCompositeFieldContainer[ItemOutcome]
    def __init__(self, item_ids: _Optional[_Iterable[str]] = ..., dimensions: _Optional[int] = ..., precision: _Optional[bytes] = ..., weights: _Optional[bytes] = ..., seen_at: _Optional[bytes] = ..., outcomes: _Optional[_Iterable[_Union[ItemOutcome, _Mapping]]] = ...) -> None: ...

class ItemOutcome(_message.Message):
    __slots__ = ("name", "moments", "energies")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MOMENTS_FIELD_NUMBER: _ClassVar[int]
    ENERGIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    moments: bytes
    energies: bytes
    def __init__(self, name: _Optional[str] = ..., moments: _Optional[bytes] = ..., energies: _Optional[bytes] = ...) -> None: ...
