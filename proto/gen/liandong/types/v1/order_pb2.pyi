from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OrderChange(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_CHANGE_UNSPECIFIED: _ClassVar[OrderChange]
    ORDER_CHANGE_SUBSCRIBED: _ClassVar[OrderChange]
    ORDER_CHANGE_UNSUBSCRIBED: _ClassVar[OrderChange]
    ORDER_CHANGE_REVERSED: _ClassVar[OrderChange]
ORDER_CHANGE_UNSPECIFIED: OrderChange
ORDER_CHANGE_SUBSCRIBED: OrderChange
ORDER_CHANGE_UNSUBSCRIBED: OrderChange
ORDER_CHANGE_REVERSED: OrderChange

class OrderBlock(_message.Message):
    __slots__ = ("source_systems", "source_system_refs", "order_numbers", "revisions", "subscriber_keys", "offers", "offer_refs", "changes", "amounts_fen", "accepted_at")
    SOURCE_SYSTEMS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_SYSTEM_REFS_FIELD_NUMBER: _ClassVar[int]
    ORDER_NUMBERS_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBER_KEYS_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    OFFER_REFS_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    AMOUNTS_FEN_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    source_systems: _containers.RepeatedScalarFieldContainer[str]
    source_system_refs: _containers.RepeatedScalarFieldContainer[int]
    order_numbers: _containers.RepeatedScalarFieldContainer[str]
    revisions: _containers.RepeatedScalarFieldContainer[int]
    subscriber_keys: _containers.RepeatedScalarFieldContainer[int]
    offers: _containers.RepeatedScalarFieldContainer[str]
    offer_refs: _containers.RepeatedScalarFieldContainer[int]
    changes: _containers.RepeatedScalarFieldContainer[OrderChange]
    amounts_fen: _containers.RepeatedScalarFieldContainer[int]
    accepted_at: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, source_systems: _Optional[_Iterable[str]] = ..., source_system_refs: _Optional[_Iterable[int]] = ..., order_numbers: _Optional[_Iterable[str]] = ..., revisions: _Optional[_Iterable[int]] = ..., subscriber_keys: _Optional[_Iterable[int]] = ..., offers: _Optional[_Iterable[str]] = ..., offer_refs: _Optional[_Iterable[int]] = ..., changes: _Optional[_Iterable[_Union[OrderChange, str]]] = ..., amounts_fen: _Optional[_Iterable[int]] = ..., accepted_at: _Optional[_Iterable[int]] = ...) -> None: ...
