from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class RecordSlatesRequest(_message.Message):
    __slots__ = ("slates",)
    SLATES_FIELD_NUMBER: _ClassVar[int]
    slates: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, slates: _Optional[_Iterable[bytes]] = ...) -> None: ...

class RecordSlatesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
