import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from liandong.federation.v1 import feed_pb2 as _feed_pb2
from liandong.types.v1 import order_pb2 as _order_pb2
from liandong.types.v1 import pool_pb2 as _pool_pb2
from liandong.types.v1 import reason_pb2 as _reason_pb2
from liandong.types.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OutboxStream(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTBOX_STREAM_UNSPECIFIED: _ClassVar[OutboxStream]
    OUTBOX_STREAM_CONTROL: _ClassVar[OutboxStream]
    OUTBOX_STREAM_RESULTS: _ClassVar[OutboxStream]
    OUTBOX_STREAM_ORDERS: _ClassVar[OutboxStream]
    OUTBOX_STREAM_POOL: _ClassVar[OutboxStream]
OUTBOX_STREAM_UNSPECIFIED: OutboxStream
OUTBOX_STREAM_CONTROL: OutboxStream
OUTBOX_STREAM_RESULTS: OutboxStream
OUTBOX_STREAM_ORDERS: OutboxStream
OUTBOX_STREAM_POOL: OutboxStream

class AppendRequest(_message.Message):
    __slots__ = ("fence", "stream", "epoch", "entries")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    fence: int
    stream: OutboxStream
    epoch: int
    entries: _containers.RepeatedCompositeFieldContainer[OutboxEntry]
    def __init__(self, fence: _Optional[int] = ..., stream: _Optional[_Union[OutboxStream, str]] = ..., epoch: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[OutboxEntry, _Mapping]]] = ...) -> None: ...

class OutboxEntry(_message.Message):
    __slots__ = ("sequence", "results", "orders", "stops", "work_order_event", "pool", "work_order", "task_block", "retold", "decision", "policy_event", "trigger_event", "consents", "erasures", "chain")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    STOPS_FIELD_NUMBER: _ClassVar[int]
    WORK_ORDER_EVENT_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    WORK_ORDER_FIELD_NUMBER: _ClassVar[int]
    TASK_BLOCK_FIELD_NUMBER: _ClassVar[int]
    RETOLD_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    POLICY_EVENT_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_EVENT_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    ERASURES_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    results: ResultBlock
    orders: _order_pb2.OrderBlock
    stops: _feed_pb2.StopBlock
    work_order_event: WorkOrderEvent
    pool: _pool_pb2.PoolBlock
    work_order: _feed_pb2.WorkOrder
    task_block: _feed_pb2.TaskBlock
    retold: Retold
    decision: Decision
    policy_event: PolicyEvent
    trigger_event: TriggerEvent
    consents: _feed_pb2.ConsentBlock
    erasures: _feed_pb2.ErasureBlock
    chain: int
    def __init__(self, sequence: _Optional[int] = ..., results: _Optional[_Union[ResultBlock, _Mapping]] = ..., orders: _Optional[_Union[_order_pb2.OrderBlock, _Mapping]] = ..., stops: _Optional[_Union[_feed_pb2.StopBlock, _Mapping]] = ..., work_order_event: _Optional[_Union[WorkOrderEvent, _Mapping]] = ..., pool: _Optional[_Union[_pool_pb2.PoolBlock, _Mapping]] = ..., work_order: _Optional[_Union[_feed_pb2.WorkOrder, _Mapping]] = ..., task_block: _Optional[_Union[_feed_pb2.TaskBlock, _Mapping]] = ..., retold: _Optional[_Union[Retold, _Mapping]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., policy_event: _Optional[_Union[PolicyEvent, _Mapping]] = ..., trigger_event: _Optional[_Union[TriggerEvent, _Mapping]] = ..., consents: _Optional[_Union[_feed_pb2.ConsentBlock, _Mapping]] = ..., erasures: _Optional[_Union[_feed_pb2.ErasureBlock, _Mapping]] = ..., chain: _Optional[int] = ...) -> None: ...

class AppendResponse(_message.Message):
    __slots__ = ("epoch", "committed_sequence", "pause", "chain")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    committed_sequence: int
    pause: _duration_pb2.Duration
    chain: int
    def __init__(self, epoch: _Optional[int] = ..., committed_sequence: _Optional[int] = ..., pause: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., chain: _Optional[int] = ...) -> None: ...

class ResultBlock(_message.Message):
    __slots__ = ("work_order", "task_deltas", "states", "reasons", "responses", "submitted_at", "settled_at")
    WORK_ORDER_FIELD_NUMBER: _ClassVar[int]
    TASK_DELTAS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    SETTLED_AT_FIELD_NUMBER: _ClassVar[int]
    work_order: str
    task_deltas: _containers.RepeatedScalarFieldContainer[int]
    states: _containers.RepeatedScalarFieldContainer[_task_pb2.TaskState]
    reasons: _containers.RepeatedScalarFieldContainer[_reason_pb2.TaskReason]
    responses: _containers.RepeatedScalarFieldContainer[_task_pb2.Response]
    submitted_at: _containers.RepeatedScalarFieldContainer[int]
    settled_at: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, work_order: _Optional[str] = ..., task_deltas: _Optional[_Iterable[int]] = ..., states: _Optional[_Iterable[_Union[_task_pb2.TaskState, str]]] = ..., reasons: _Optional[_Iterable[_Union[_reason_pb2.TaskReason, str]]] = ..., responses: _Optional[_Iterable[_Union[_task_pb2.Response, str]]] = ..., submitted_at: _Optional[_Iterable[int]] = ..., settled_at: _Optional[_Iterable[int]] = ...) -> None: ...

class WorkOrderEvent(_message.Message):
    __slots__ = ("work_order", "state", "detail")
    WORK_ORDER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    work_order: str
    state: _feed_pb2.WorkOrderState
    detail: str
    def __init__(self, work_order: _Optional[str] = ..., state: _Optional[_Union[_feed_pb2.WorkOrderState, str]] = ..., detail: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("work_order", "block_number", "stage", "run", "decided_at", "policy_version", "rivals", "facts", "digest")
    WORK_ORDER_FIELD_NUMBER: _ClassVar[int]
    BLOCK_NUMBER_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    RIVALS_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    work_order: str
    block_number: int
    stage: str
    run: int
    decided_at: int
    policy_version: int
    rivals: _containers.RepeatedScalarFieldContainer[str]
    facts: bytes
    digest: bytes
    def __init__(self, work_order: _Optional[str] = ..., block_number: _Optional[int] = ..., stage: _Optional[str] = ..., run: _Optional[int] = ..., decided_at: _Optional[int] = ..., policy_version: _Optional[int] = ..., rivals: _Optional[_Iterable[str]] = ..., facts: _Optional[bytes] = ..., digest: _Optional[bytes] = ...) -> None: ...

class Retold(_message.Message):
    __slots__ = ("incarnation",)
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    incarnation: int
    def __init__(self, incarnation: _Optional[int] = ...) -> None: ...

class PolicyEvent(_message.Message):
    __slots__ = ("version", "objection")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OBJECTION_FIELD_NUMBER: _ClassVar[int]
    version: int
    objection: str
    def __init__(self, version: _Optional[int] = ..., objection: _Optional[str] = ...) -> None: ...

class TriggerEvent(_message.Message):
    __slots__ = ("name", "version", "objection")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OBJECTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    objection: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., objection: _Optional[str] = ...) -> None: ...
