from liandong.types.v1 import order_pb2 as _order_pb2
from liandong.types.v1 import pool_pb2 as _pool_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OrderRecord(_message.Message):
    __slots__ = ("order_number", "revision", "msisdn", "offer", "change", "amount_fen", "accepted_at")
    ORDER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    MSISDN_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FEN_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    order_number: str
    revision: int
    msisdn: int
    offer: str
    change: _order_pb2.OrderChange
    amount_fen: int
    accepted_at: int
    def __init__(self, order_number: _Optional[str] = ..., revision: _Optional[int] = ..., msisdn: _Optional[int] = ..., offer: _Optional[str] = ..., change: _Optional[_Union[_order_pb2.OrderChange, str]] = ..., amount_fen: _Optional[int] = ..., accepted_at: _Optional[int] = ...) -> None: ...

class ListOrderRecordsRequest(_message.Message):
    __slots__ = ("page_token", "page_size")
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    page_token: str
    page_size: int
    def __init__(self, page_token: _Optional[str] = ..., page_size: _Optional[int] = ...) -> None: ...

class ListOrderRecordsResponse(_message.Message):
    __slots__ = ("order_records", "next_page_token", "caught_up")
    ORDER_RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    order_records: _containers.RepeatedCompositeFieldContainer[OrderRecord]
    next_page_token: str
    caught_up: bool
    def __init__(self, order_records: _Optional[_Iterable[_Union[OrderRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., caught_up: _Optional[bool] = ...) -> None: ...

class PoolChangeRecord(_message.Message):
    __slots__ = ("msisdn", "change", "changed_at")
    MSISDN_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    msisdn: int
    change: _pool_pb2.PoolChange
    changed_at: int
    def __init__(self, msisdn: _Optional[int] = ..., change: _Optional[_Union[_pool_pb2.PoolChange, str]] = ..., changed_at: _Optional[int] = ...) -> None: ...

class ListPoolChangesRequest(_message.Message):
    __slots__ = ("page_token", "page_size")
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    page_token: str
    page_size: int
    def __init__(self, page_token: _Optional[str] = ..., page_size: _Optional[int] = ...) -> None: ...

class ListPoolChangesResponse(_message.Message):
    __slots__ = ("changes", "next_page_token", "caught_up")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[PoolChangeRecord]
    next_page_token: str
    caught_up: bool
    def __init__(self, changes: _Optional[_Iterable[_Union[PoolChangeRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., caught_up: _Optional[bool] = ...) -> None: ...

class CheckEligibilityRequest(_message.Message):
    __slots__ = ("msisdn", "offer")
    MSISDN_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    msisdn: int
    offer: str
    def __init__(self, msisdn: _Optional[int] = ..., offer: _Optional[str] = ...) -> None: ...

class CheckEligibilityResponse(_message.Message):
    __slots__ = ("eligible", "detail")
    ELIGIBLE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    eligible: bool
    detail: str
    def __init__(self, eligible: _Optional[bool] = ..., detail: _Optional[str] = ...) -> None: ...

class CreateOrderRequest(_message.Message):
    __slots__ = ("request_id", "msisdn", "offer")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MSISDN_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    msisdn: int
    offer: str
    def __init__(self, request_id: _Optional[str] = ..., msisdn: _Optional[int] = ..., offer: _Optional[str] = ...) -> None: ...

class CreateOrderResponse(_message.Message):
    __slots__ = ("order_record",)
    ORDER_RECORD_FIELD_NUMBER: _ClassVar[int]
    order_record: OrderRecord
    def __init__(self, order_record: _Optional[_Union[OrderRecord, _Mapping]] = ...) -> None: ...

class GetOrderRequest(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    def __init__(self, request_id: _Optional[str] = ...) -> None: ...

class GetOrderResponse(_message.Message):
    __slots__ = ("order_record",)
    ORDER_RECORD_FIELD_NUMBER: _ClassVar[int]
    order_record: OrderRecord
    def __init__(self, order_record: _Optional[_Union[OrderRecord, _Mapping]] = ...) -> None: ...
