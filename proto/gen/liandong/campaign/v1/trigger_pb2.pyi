from liandong.types.v1 import host_pb2 as _host_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ApplyTriggersRequest(_message.Message):
    __slots__ = ("name", "document_yaml")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_YAML_FIELD_NUMBER: _ClassVar[int]
    name: str
    document_yaml: str
    def __init__(self, name: _Optional[str] = ..., document_yaml: _Optional[str] = ...) -> None: ...

class ApplyTriggersResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: TriggersChange
    def __init__(self, change: _Optional[_Union[TriggersChange, _Mapping]] = ...) -> None: ...

class PutHostPartRequest(_message.Message):
    __slots__ = ("part",)
    PART_FIELD_NUMBER: _ClassVar[int]
    part: _host_pb2.HostPart
    def __init__(self, part: _Optional[_Union[_host_pb2.HostPart, _Mapping]] = ...) -> None: ...

class PutHostPartResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TriggersChange(_message.Message):
    __slots__ = ("name", "version", "changed", "paused")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    changed: bool
    paused: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., changed: _Optional[bool] = ..., paused: _Optional[_Iterable[str]] = ...) -> None: ...

class GetTriggersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetTriggersResponse(_message.Message):
    __slots__ = ("documents",)
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[TriggerDocument]
    def __init__(self, documents: _Optional[_Iterable[_Union[TriggerDocument, _Mapping]]] = ...) -> None: ...

class TriggerDocument(_message.Message):
    __slots__ = ("name", "version", "document_yaml", "paused", "withdrawn", "provinces")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_YAML_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    PROVINCES_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    document_yaml: str
    paused: _containers.RepeatedScalarFieldContainer[str]
    withdrawn: bool
    provinces: _containers.RepeatedCompositeFieldContainer[ProvinceTriggers]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., document_yaml: _Optional[str] = ..., paused: _Optional[_Iterable[str]] = ..., withdrawn: _Optional[bool] = ..., provinces: _Optional[_Iterable[_Union[ProvinceTriggers, _Mapping]]] = ...) -> None: ...

class ProvinceTriggers(_message.Message):
    __slots__ = ("province", "version", "objection")
    PROVINCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OBJECTION_FIELD_NUMBER: _ClassVar[int]
    province: str
    version: int
    objection: str
    def __init__(self, province: _Optional[str] = ..., version: _Optional[int] = ..., objection: _Optional[str] = ...) -> None: ...

class PauseTriggerRuleRequest(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: str
    def __init__(self, rule: _Optional[str] = ...) -> None: ...

class PauseTriggerRuleResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: TriggersChange
    def __init__(self, change: _Optional[_Union[TriggersChange, _Mapping]] = ...) -> None: ...

class ResumeTriggerRuleRequest(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: str
    def __init__(self, rule: _Optional[str] = ...) -> None: ...

class ResumeTriggerRuleResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: TriggersChange
    def __init__(self, change: _Optional[_Union[TriggersChange, _Mapping]] = ...) -> None: ...

class WithdrawTriggersRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class WithdrawTriggersResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: TriggersChange
    def __init__(self, change: _Optional[_Union[TriggersChange, _Mapping]] = ...) -> None: ...
