import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from liandong.federation.v1 import feed_pb2 as _feed_pb2
from liandong.federation.v1 import uplink_pb2 as _uplink_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OpenSessionRequest(_message.Message):
    __slots__ = ("instance_id", "build_version", "min_contract_revision", "max_contract_revision", "capabilities", "outbox_positions", "takeover", "incarnation", "client_time", "hq_incarnation", "feed_places")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    BUILD_VERSION_FIELD_NUMBER: _ClassVar[int]
    MIN_CONTRACT_REVISION_FIELD_NUMBER: _ClassVar[int]
    MAX_CONTRACT_REVISION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    TAKEOVER_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TIME_FIELD_NUMBER: _ClassVar[int]
    HQ_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    FEED_PLACES_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    build_version: str
    min_contract_revision: int
    max_contract_revision: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    outbox_positions: _containers.RepeatedCompositeFieldContainer[OutboxPosition]
    takeover: bool
    incarnation: int
    client_time: _timestamp_pb2.Timestamp
    hq_incarnation: int
    feed_places: _containers.RepeatedCompositeFieldContainer[FeedPlace]
    def __init__(self, instance_id: _Optional[str] = ..., build_version: _Optional[str] = ..., min_contract_revision: _Optional[int] = ..., max_contract_revision: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ..., outbox_positions: _Optional[_Iterable[_Union[OutboxPosition, _Mapping]]] = ..., takeover: _Optional[bool] = ..., incarnation: _Optional[int] = ..., client_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., hq_incarnation: _Optional[int] = ..., feed_places: _Optional[_Iterable[_Union[FeedPlace, _Mapping]]] = ...) -> None: ...

class OpenSessionResponse(_message.Message):
    __slots__ = ("fence", "lease_duration", "contract_revision", "capabilities", "limits", "feed_positions", "committed_positions", "server_time", "incarnation")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    LEASE_DURATION_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_REVISION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    FEED_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    fence: int
    lease_duration: _duration_pb2.Duration
    contract_revision: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    limits: Limits
    feed_positions: _containers.RepeatedCompositeFieldContainer[FeedPosition]
    committed_positions: _containers.RepeatedCompositeFieldContainer[OutboxPosition]
    server_time: _timestamp_pb2.Timestamp
    incarnation: int
    def __init__(self, fence: _Optional[int] = ..., lease_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., contract_revision: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., feed_positions: _Optional[_Iterable[_Union[FeedPosition, _Mapping]]] = ..., committed_positions: _Optional[_Iterable[_Union[OutboxPosition, _Mapping]]] = ..., server_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., incarnation: _Optional[int] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("block_rows_max", "message_bytes_max", "watch_duration_max", "progress_interval", "unacknowledged_entries_max")
    BLOCK_ROWS_MAX_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    WATCH_DURATION_MAX_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    UNACKNOWLEDGED_ENTRIES_MAX_FIELD_NUMBER: _ClassVar[int]
    block_rows_max: int
    message_bytes_max: int
    watch_duration_max: _duration_pb2.Duration
    progress_interval: _duration_pb2.Duration
    unacknowledged_entries_max: int
    def __init__(self, block_rows_max: _Optional[int] = ..., message_bytes_max: _Optional[int] = ..., watch_duration_max: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., progress_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., unacknowledged_entries_max: _Optional[int] = ...) -> None: ...

class OutboxPosition(_message.Message):
    __slots__ = ("stream", "epoch", "sequence", "chain", "acknowledged")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    stream: _uplink_pb2.OutboxStream
    epoch: int
    sequence: int
    chain: int
    acknowledged: int
    def __init__(self, stream: _Optional[_Union[_uplink_pb2.OutboxStream, str]] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., chain: _Optional[int] = ..., acknowledged: _Optional[int] = ...) -> None: ...

class FeedPlace(_message.Message):
    __slots__ = ("topic", "epoch", "cursor", "chain")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    topic: _feed_pb2.Topic
    epoch: int
    cursor: int
    chain: int
    def __init__(self, topic: _Optional[_Union[_feed_pb2.Topic, str]] = ..., epoch: _Optional[int] = ..., cursor: _Optional[int] = ..., chain: _Optional[int] = ...) -> None: ...

class FeedPosition(_message.Message):
    __slots__ = ("topic", "epoch", "oldest_cursor", "head_cursor", "committed_cursor")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OLDEST_CURSOR_FIELD_NUMBER: _ClassVar[int]
    HEAD_CURSOR_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_CURSOR_FIELD_NUMBER: _ClassVar[int]
    topic: _feed_pb2.Topic
    epoch: int
    oldest_cursor: int
    head_cursor: int
    committed_cursor: int
    def __init__(self, topic: _Optional[_Union[_feed_pb2.Topic, str]] = ..., epoch: _Optional[int] = ..., oldest_cursor: _Optional[int] = ..., head_cursor: _Optional[int] = ..., committed_cursor: _Optional[int] = ...) -> None: ...

class RenewSessionRequest(_message.Message):
    __slots__ = ("fence", "client_time")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TIME_FIELD_NUMBER: _ClassVar[int]
    fence: int
    client_time: _timestamp_pb2.Timestamp
    def __init__(self, fence: _Optional[int] = ..., client_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RenewSessionResponse(_message.Message):
    __slots__ = ("lease_duration", "server_time")
    LEASE_DURATION_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    lease_duration: _duration_pb2.Duration
    server_time: _timestamp_pb2.Timestamp
    def __init__(self, lease_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., server_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("fence",)
    FENCE_FIELD_NUMBER: _ClassVar[int]
    fence: int
    def __init__(self, fence: _Optional[int] = ...) -> None: ...

class CloseSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
