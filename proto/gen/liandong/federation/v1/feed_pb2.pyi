import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from liandong.types.v1 import host_pb2 as _host_pb2
from liandong.types.v1 import order_pb2 as _order_pb2
from liandong.types.v1 import reason_pb2 as _reason_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Topic(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOPIC_UNSPECIFIED: _ClassVar[Topic]
    TOPIC_CONTROL: _ClassVar[Topic]
    TOPIC_WORK_ORDERS: _ClassVar[Topic]
    TOPIC_ORDERS: _ClassVar[Topic]

class WorkOrderState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORK_ORDER_STATE_UNSPECIFIED: _ClassVar[WorkOrderState]
    WORK_ORDER_STATE_ISSUED: _ClassVar[WorkOrderState]
    WORK_ORDER_STATE_ACCEPTED: _ClassVar[WorkOrderState]
    WORK_ORDER_STATE_REJECTED: _ClassVar[WorkOrderState]
    WORK_ORDER_STATE_PAUSED: _ClassVar[WorkOrderState]
    WORK_ORDER_STATE_CANCELLED: _ClassVar[WorkOrderState]
    WORK_ORDER_STATE_COMPLETED: _ClassVar[WorkOrderState]

class StopScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STOP_SCOPE_UNSPECIFIED: _ClassVar[StopScope]
    STOP_SCOPE_REFUSED: _ClassVar[StopScope]
    STOP_SCOPE_BLACKLIST: _ClassVar[StopScope]
    STOP_SCOPE_MESSAGE: _ClassVar[StopScope]
    STOP_SCOPE_PUSH: _ClassVar[StopScope]
    STOP_SCOPE_CALL: _ClassVar[StopScope]
    STOP_SCOPE_EMAIL: _ClassVar[StopScope]
    STOP_SCOPE_IN_PERSON: _ClassVar[StopScope]
    STOP_SCOPE_IN_APP: _ClassVar[StopScope]
TOPIC_UNSPECIFIED: Topic
TOPIC_CONTROL: Topic
TOPIC_WORK_ORDERS: Topic
TOPIC_ORDERS: Topic
WORK_ORDER_STATE_UNSPECIFIED: WorkOrderState
WORK_ORDER_STATE_ISSUED: WorkOrderState
WORK_ORDER_STATE_ACCEPTED: WorkOrderState
WORK_ORDER_STATE_REJECTED: WorkOrderState
WORK_ORDER_STATE_PAUSED: WorkOrderState
WORK_ORDER_STATE_CANCELLED: WorkOrderState
WORK_ORDER_STATE_COMPLETED: WorkOrderState
STOP_SCOPE_UNSPECIFIED: StopScope
STOP_SCOPE_REFUSED: StopScope
STOP_SCOPE_BLACKLIST: StopScope
STOP_SCOPE_MESSAGE: StopScope
STOP_SCOPE_PUSH: StopScope
STOP_SCOPE_CALL: StopScope
STOP_SCOPE_EMAIL: StopScope
STOP_SCOPE_IN_PERSON: StopScope
STOP_SCOPE_IN_APP: StopScope

class WatchFeedRequest(_message.Message):
    __slots__ = ("fence", "topic", "epoch", "after_cursor", "max_duration", "chain")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    AFTER_CURSOR_FIELD_NUMBER: _ClassVar[int]
    MAX_DURATION_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    fence: int
    topic: Topic
    epoch: int
    after_cursor: int
    max_duration: _duration_pb2.Duration
    chain: int
    def __init__(self, fence: _Optional[int] = ..., topic: _Optional[_Union[Topic, str]] = ..., epoch: _Optional[int] = ..., after_cursor: _Optional[int] = ..., max_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., chain: _Optional[int] = ...) -> None: ...

class WatchFeedResponse(_message.Message):
    __slots__ = ("batch", "progress", "reset")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    batch: FeedBatch
    progress: FeedProgress
    reset: FeedReset
    def __init__(self, batch: _Optional[_Union[FeedBatch, _Mapping]] = ..., progress: _Optional[_Union[FeedProgress, _Mapping]] = ..., reset: _Optional[_Union[FeedReset, _Mapping]] = ...) -> None: ...

class FeedBatch(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[FeedEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[FeedEntry, _Mapping]]] = ...) -> None: ...

class FeedProgress(_message.Message):
    __slots__ = ("head_cursor", "server_time")
    HEAD_CURSOR_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    head_cursor: int
    server_time: _timestamp_pb2.Timestamp
    def __init__(self, head_cursor: _Optional[int] = ..., server_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class FeedReset(_message.Message):
    __slots__ = ("epoch", "snapshot_cursor", "snapshot_entries", "chain")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    snapshot_cursor: int
    snapshot_entries: int
    chain: int
    def __init__(self, epoch: _Optional[int] = ..., snapshot_cursor: _Optional[int] = ..., snapshot_entries: _Optional[int] = ..., chain: _Optional[int] = ...) -> None: ...

class FeedEntry(_message.Message):
    __slots__ = ("cursor", "work_order", "task_block", "command", "stops", "orders", "policy", "consents", "erasures", "trigger_version", "host_part", "chain")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    WORK_ORDER_FIELD_NUMBER: _ClassVar[int]
    TASK_BLOCK_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    STOPS_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    ERASURES_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_VERSION_FIELD_NUMBER: _ClassVar[int]
    HOST_PART_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    cursor: int
    work_order: WorkOrder
    task_block: TaskBlock
    command: WorkOrderCommand
    stops: StopBlock
    orders: _order_pb2.OrderBlock
    policy: Policy
    consents: ConsentBlock
    erasures: ErasureBlock
    trigger_version: TriggerVersion
    host_part: _host_pb2.HostPart
    chain: int
    def __init__(self, cursor: _Optional[int] = ..., work_order: _Optional[_Union[WorkOrder, _Mapping]] = ..., task_block: _Optional[_Union[TaskBlock, _Mapping]] = ..., command: _Optional[_Union[WorkOrderCommand, _Mapping]] = ..., stops: _Optional[_Union[StopBlock, _Mapping]] = ..., orders: _Optional[_Union[_order_pb2.OrderBlock, _Mapping]] = ..., policy: _Optional[_Union[Policy, _Mapping]] = ..., consents: _Optional[_Union[ConsentBlock, _Mapping]] = ..., erasures: _Optional[_Union[ErasureBlock, _Mapping]] = ..., trigger_version: _Optional[_Union[TriggerVersion, _Mapping]] = ..., host_part: _Optional[_Union[_host_pb2.HostPart, _Mapping]] = ..., chain: _Optional[int] = ...) -> None: ...

class CommitFeedRequest(_message.Message):
    __slots__ = ("fence", "topic", "epoch", "through_cursor", "chain")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    THROUGH_CURSOR_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    fence: int
    topic: Topic
    epoch: int
    through_cursor: int
    chain: int
    def __init__(self, fence: _Optional[int] = ..., topic: _Optional[_Union[Topic, str]] = ..., epoch: _Optional[int] = ..., through_cursor: _Optional[int] = ..., chain: _Optional[int] = ...) -> None: ...

class CommitFeedResponse(_message.Message):
    __slots__ = ("committed_cursor",)
    COMMITTED_CURSOR_FIELD_NUMBER: _ClassVar[int]
    committed_cursor: int
    def __init__(self, committed_cursor: _Optional[int] = ...) -> None: ...

class WorkOrder(_message.Message):
    __slots__ = ("name", "campaign", "wave", "channel", "offer", "start_at", "end_at", "priority", "task_count", "state", "version", "product_line", "service", "leased", "incarnation", "purpose", "policy_version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    WAVE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    START_AT_FIELD_NUMBER: _ClassVar[int]
    END_AT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TASK_COUNT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_LINE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    LEASED_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    campaign: str
    wave: int
    channel: str
    offer: str
    start_at: int
    end_at: int
    priority: int
    task_count: int
    state: WorkOrderState
    version: int
    product_line: str
    service: bool
    leased: bool
    incarnation: int
    purpose: str
    policy_version: int
    def __init__(self, name: _Optional[str] = ..., campaign: _Optional[str] = ..., wave: _Optional[int] = ..., channel: _Optional[str] = ..., offer: _Optional[str] = ..., start_at: _Optional[int] = ..., end_at: _Optional[int] = ..., priority: _Optional[int] = ..., task_count: _Optional[int] = ..., state: _Optional[_Union[WorkOrderState, str]] = ..., version: _Optional[int] = ..., product_line: _Optional[str] = ..., service: _Optional[bool] = ..., leased: _Optional[bool] = ..., incarnation: _Optional[int] = ..., purpose: _Optional[str] = ..., policy_version: _Optional[int] = ...) -> None: ...

class TaskBlock(_message.Message):
    __slots__ = ("work_order", "number", "subscriber_key_deltas", "texts", "text_refs", "states", "reasons")
    WORK_ORDER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBER_KEY_DELTAS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    TEXT_REFS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    work_order: str
    number: int
    subscriber_key_deltas: _containers.RepeatedScalarFieldContainer[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    text_refs: _containers.RepeatedScalarFieldContainer[int]
    states: _containers.RepeatedScalarFieldContainer[int]
    reasons: _containers.RepeatedScalarFieldContainer[_reason_pb2.TaskReason]
    def __init__(self, work_order: _Optional[str] = ..., number: _Optional[int] = ..., subscriber_key_deltas: _Optional[_Iterable[int]] = ..., texts: _Optional[_Iterable[str]] = ..., text_refs: _Optional[_Iterable[int]] = ..., states: _Optional[_Iterable[int]] = ..., reasons: _Optional[_Iterable[_Union[_reason_pb2.TaskReason, str]]] = ...) -> None: ...

class WorkOrderCommand(_message.Message):
    __slots__ = ("work_order", "state", "version")
    WORK_ORDER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    work_order: str
    state: WorkOrderState
    version: int
    def __init__(self, work_order: _Optional[str] = ..., state: _Optional[_Union[WorkOrderState, str]] = ..., version: _Optional[int] = ...) -> None: ...

class StopBlock(_message.Message):
    __slots__ = ("subscriber_keys", "lifted", "stopped_at", "scopes")
    SUBSCRIBER_KEYS_FIELD_NUMBER: _ClassVar[int]
    LIFTED_FIELD_NUMBER: _ClassVar[int]
    STOPPED_AT_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    subscriber_keys: _containers.RepeatedScalarFieldContainer[int]
    lifted: _containers.RepeatedScalarFieldContainer[bool]
    stopped_at: _containers.RepeatedScalarFieldContainer[int]
    scopes: _containers.RepeatedScalarFieldContainer[StopScope]
    def __init__(self, subscriber_keys: _Optional[_Iterable[int]] = ..., lifted: _Optional[_Iterable[bool]] = ..., stopped_at: _Optional[_Iterable[int]] = ..., scopes: _Optional[_Iterable[_Union[StopScope, str]]] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("version", "document")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    version: int
    document: str
    def __init__(self, version: _Optional[int] = ..., document: _Optional[str] = ...) -> None: ...

class ConsentBlock(_message.Message):
    __slots__ = ("subscriber_keys", "purposes", "purpose_refs", "evidences", "given_at", "expires_at", "withdrawn")
    SUBSCRIBER_KEYS_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_REFS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCES_FIELD_NUMBER: _ClassVar[int]
    GIVEN_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    subscriber_keys: _containers.RepeatedScalarFieldContainer[int]
    purposes: _containers.RepeatedScalarFieldContainer[str]
    purpose_refs: _containers.RepeatedScalarFieldContainer[int]
    evidences: _containers.RepeatedScalarFieldContainer[str]
    given_at: _containers.RepeatedScalarFieldContainer[int]
    expires_at: _containers.RepeatedScalarFieldContainer[int]
    withdrawn: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, subscriber_keys: _Optional[_Iterable[int]] = ..., purposes: _Optional[_Iterable[str]] = ..., purpose_refs: _Optional[_Iterable[int]] = ..., evidences: _Optional[_Iterable[str]] = ..., given_at: _Optional[_Iterable[int]] = ..., expires_at: _Optional[_Iterable[int]] = ..., withdrawn: _Optional[_Iterable[bool]] = ...) -> None: ...

class ErasureBlock(_message.Message):
    __slots__ = ("subscriber_keys", "erased_at", "lifted")
    SUBSCRIBER_KEYS_FIELD_NUMBER: _ClassVar[int]
    ERASED_AT_FIELD_NUMBER: _ClassVar[int]
    LIFTED_FIELD_NUMBER: _ClassVar[int]
    subscriber_keys: _containers.RepeatedScalarFieldContainer[int]
    erased_at: _containers.RepeatedScalarFieldContainer[int]
    lifted: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, subscriber_keys: _Optional[_Iterable[int]] = ..., erased_at: _Optional[_Iterable[int]] = ..., lifted: _Optional[_Iterable[bool]] = ...) -> None: ...

class TriggerVersion(_message.Message):
    __slots__ = ("name", "version", "document", "paused", "withdrawn")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    document: str
    paused: _containers.RepeatedScalarFieldContainer[str]
    withdrawn: bool
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., document: _Optional[str] = ..., paused: _Optional[_Iterable[str]] = ..., withdrawn: _Optional[bool] = ...) -> None: ...
