from liandong.federation.v1 import feed_pb2 as _feed_pb2
from liandong.types.v1 import reason_pb2 as _reason_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AcquireGrantsRequest(_message.Message):
    __slots__ = ("fence", "request_id", "channel", "offer", "product_line", "purpose", "start_at", "end_at", "priority", "tasks")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_LINE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    START_AT_FIELD_NUMBER: _ClassVar[int]
    END_AT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    fence: int
    request_id: str
    channel: str
    offer: str
    product_line: str
    purpose: str
    start_at: int
    end_at: int
    priority: int
    tasks: _feed_pb2.TaskBlock
    def __init__(self, fence: _Optional[int] = ..., request_id: _Optional[str] = ..., channel: _Optional[str] = ..., offer: _Optional[str] = ..., product_line: _Optional[str] = ..., purpose: _Optional[str] = ..., start_at: _Optional[int] = ..., end_at: _Optional[int] = ..., priority: _Optional[int] = ..., tasks: _Optional[_Union[_feed_pb2.TaskBlock, _Mapping]] = ...) -> None: ...

class AcquireGrantsResponse(_message.Message):
    __slots__ = ("work_order", "reasons")
    WORK_ORDER_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    work_order: str
    reasons: _containers.RepeatedScalarFieldContainer[_reason_pb2.TaskReason]
    def __init__(self, work_order: _Optional[str] = ..., reasons: _Optional[_Iterable[_Union[_reason_pb2.TaskReason, str]]] = ...) -> None: ...
