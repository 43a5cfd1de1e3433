import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SendOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEND_OUTCOME_UNSPECIFIED: _ClassVar[SendOutcome]
    SEND_OUTCOME_ACCEPTED: _ClassVar[SendOutcome]
    SEND_OUTCOME_DUPLICATE: _ClassVar[SendOutcome]
    SEND_OUTCOME_THROTTLED: _ClassVar[SendOutcome]
    SEND_OUTCOME_REFUSED: _ClassVar[SendOutcome]

class ReceiptStage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECEIPT_STAGE_UNSPECIFIED: _ClassVar[ReceiptStage]
    RECEIPT_STAGE_DELIVERED: _ClassVar[ReceiptStage]
    RECEIPT_STAGE_UNDELIVERABLE: _ClassVar[ReceiptStage]
    RECEIPT_STAGE_EXPIRED: _ClassVar[ReceiptStage]
SEND_OUTCOME_UNSPECIFIED: SendOutcome
SEND_OUTCOME_ACCEPTED: SendOutcome
SEND_OUTCOME_DUPLICATE: SendOutcome
SEND_OUTCOME_THROTTLED: SendOutcome
SEND_OUTCOME_REFUSED: SendOutcome
RECEIPT_STAGE_UNSPECIFIED: ReceiptStage
RECEIPT_STAGE_DELIVERED: ReceiptStage
RECEIPT_STAGE_UNDELIVERABLE: ReceiptStage
RECEIPT_STAGE_EXPIRED: ReceiptStage

class GetChannelRequest(_message.Message):
    __slots__ = ("channel",)
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    channel: str
    def __init__(self, channel: _Optional[str] = ...) -> None: ...

class GetChannelResponse(_message.Message):
    __slots__ = ("channel", "batch_max", "messages_per_second_max", "dedupe_window")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    BATCH_MAX_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_PER_SECOND_MAX_FIELD_NUMBER: _ClassVar[int]
    DEDUPE_WINDOW_FIELD_NUMBER: _ClassVar[int]
    channel: str
    batch_max: int
    messages_per_second_max: int
    dedupe_window: _duration_pb2.Duration
    def __init__(self, channel: _Optional[str] = ..., batch_max: _Optional[int] = ..., messages_per_second_max: _Optional[int] = ..., dedupe_window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SendMessagesRequest(_message.Message):
    __slots__ = ("channel", "work_order", "tasks", "msisdns", "texts", "text_refs", "submit_by", "expire_at")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    WORK_ORDER_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    MSISDNS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    TEXT_REFS_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_BY_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_AT_FIELD_NUMBER: _ClassVar[int]
    channel: str
    work_order: str
    tasks: _containers.RepeatedScalarFieldContainer[int]
    msisdns: _containers.RepeatedScalarFieldContainer[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    text_refs: _containers.RepeatedScalarFieldContainer[int]
    submit_by: int
    expire_at: int
    def __init__(self, channel: _Optional[str] = ..., work_order: _Optional[str] = ..., tasks: _Optional[_Iterable[int]] = ..., msisdns: _Optional[_Iterable[int]] = ..., texts: _Optional[_Iterable[str]] = ..., text_refs: _Optional[_Iterable[int]] = ..., submit_by: _Optional[int] = ..., expire_at: _Optional[int] = ...) -> None: ...

class SendMessagesResponse(_message.Message):
    __slots__ = ("outcomes", "pause")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedScalarFieldContainer[SendOutcome]
    pause: _duration_pb2.Duration
    def __init__(self, outcomes: _Optional[_Iterable[_Union[SendOutcome, str]]] = ..., pause: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ReportReceiptsRequest(_message.Message):
    __slots__ = ("channel", "work_orders", "work_order_refs", "tasks", "stages", "happened_at")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    WORK_ORDERS_FIELD_NUMBER: _ClassVar[int]
    WORK_ORDER_REFS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    HAPPENED_AT_FIELD_NUMBER: _ClassVar[int]
    channel: str
    work_orders: _containers.RepeatedScalarFieldContainer[str]
    work_order_refs: _containers.RepeatedScalarFieldContainer[int]
    tasks: _containers.RepeatedScalarFieldContainer[int]
    stages: _containers.RepeatedScalarFieldContainer[ReceiptStage]
    happened_at: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, channel: _Optional[str] = ..., work_orders: _Optional[_Iterable[str]] = ..., work_order_refs: _Optional[_Iterable[int]] = ..., tasks: _Optional[_Iterable[int]] = ..., stages: _Optional[_Iterable[_Union[ReceiptStage, str]]] = ..., happened_at: _Optional[_Iterable[int]] = ...) -> None: ...

class ReportReceiptsResponse(_message.Message):
    __slots__ = ("unmatched",)
    UNMATCHED_FIELD_NUMBER: _ClassVar[int]
    unmatched: int
    def __init__(self, unmatched: _Optional[int] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("work_order", "task", "msisdn", "text", "happened_at")
    WORK_ORDER_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    MSISDN_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HAPPENED_AT_FIELD_NUMBER: _ClassVar[int]
    work_order: str
    task: int
    msisdn: int
    text: str
    happened_at: int
    def __init__(self, work_order: _Optional[str] = ..., task: _Optional[int] = ..., msisdn: _Optional[int] = ..., text: _Optional[str] = ..., happened_at: _Optional[int] = ...) -> None: ...

class ReportRepliesRequest(_message.Message):
    __slots__ = ("channel", "replies")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    channel: str
    replies: _containers.RepeatedCompositeFieldContainer[Reply]
    def __init__(self, channel: _Optional[str] = ..., replies: _Optional[_Iterable[_Union[Reply, _Mapping]]] = ...) -> None: ...

class ReportRepliesResponse(_message.Message):
    __slots__ = ("unmatched",)
    UNMATCHED_FIELD_NUMBER: _ClassVar[int]
    unmatched: int
    def __init__(self, unmatched: _Optional[int] = ...) -> None: ...
