from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PoolChange(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POOL_CHANGE_UNSPECIFIED: _ClassVar[PoolChange]
    POOL_CHANGE_JOINED: _ClassVar[PoolChange]
    POOL_CHANGE_LEFT: _ClassVar[PoolChange]
    POOL_CHANGE_REASSIGNED: _ClassVar[PoolChange]
POOL_CHANGE_UNSPECIFIED: PoolChange
POOL_CHANGE_JOINED: PoolChange
POOL_CHANGE_LEFT: PoolChange
POOL_CHANGE_REASSIGNED: PoolChange

class PoolBlock(_message.Message):
    __slots__ = ("subscriber_keys", "changes", "changed_at")
    SUBSCRIBER_KEYS_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    subscriber_keys: _containers.RepeatedScalarFieldContainer[int]
    changes: _containers.RepeatedScalarFieldContainer[PoolChange]
    changed_at: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, subscriber_keys: _Optional[_Iterable[int]] = ..., changes: _Optional[_Iterable[_Union[PoolChange, str]]] = ..., changed_at: _Optional[_Iterable[int]] = ...) -> None: ...
