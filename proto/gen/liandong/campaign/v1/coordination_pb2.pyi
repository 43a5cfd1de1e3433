from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConsentChange(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSENT_CHANGE_UNSPECIFIED: _ClassVar[ConsentChange]
    CONSENT_CHANGE_GIVEN: _ClassVar[ConsentChange]
    CONSENT_CHANGE_WITHDRAWN: _ClassVar[ConsentChange]
    CONSENT_CHANGE_STOPPED: _ClassVar[ConsentChange]
    CONSENT_CHANGE_LIFTED: _ClassVar[ConsentChange]
CONSENT_CHANGE_UNSPECIFIED: ConsentChange
CONSENT_CHANGE_GIVEN: ConsentChange
CONSENT_CHANGE_WITHDRAWN: ConsentChange
CONSENT_CHANGE_STOPPED: ConsentChange
CONSENT_CHANGE_LIFTED: ConsentChange

class ApplyPolicyRequest(_message.Message):
    __slots__ = ("document_yaml",)
    DOCUMENT_YAML_FIELD_NUMBER: _ClassVar[int]
    document_yaml: str
    def __init__(self, document_yaml: _Optional[str] = ...) -> None: ...

class ApplyPolicyResponse(_message.Message):
    __slots__ = ("version", "changed")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    version: int
    changed: bool
    def __init__(self, version: _Optional[int] = ..., changed: _Optional[bool] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ("version", "document_yaml", "provinces")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_YAML_FIELD_NUMBER: _ClassVar[int]
    PROVINCES_FIELD_NUMBER: _ClassVar[int]
    version: int
    document_yaml: str
    provinces: _containers.RepeatedCompositeFieldContainer[ProvincePolicy]
    def __init__(self, version: _Optional[int] = ..., document_yaml: _Optional[str] = ..., provinces: _Optional[_Iterable[_Union[ProvincePolicy, _Mapping]]] = ...) -> None: ...

class ProvincePolicy(_message.Message):
    __slots__ = ("province", "version", "objection")
    PROVINCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OBJECTION_FIELD_NUMBER: _ClassVar[int]
    province: str
    version: int
    objection: str
    def __init__(self, province: _Optional[str] = ..., version: _Optional[int] = ..., objection: _Optional[str] = ...) -> None: ...

class DryRunRequest(_message.Message):
    __slots__ = ("campaign", "yaml", "language")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    campaign: str
    yaml: str
    language: str
    def __init__(self, campaign: _Optional[str] = ..., yaml: _Optional[str] = ..., language: _Optional[str] = ...) -> None: ...

class DryRunResponse(_message.Message):
    __slots__ = ("document_json",)
    DOCUMENT_JSON_FIELD_NUMBER: _ClassVar[int]
    document_json: str
    def __init__(self, document_json: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("msisdn", "subscriber_key", "campaign", "at", "language")
    MSISDN_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBER_KEY_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    msisdn: int
    subscriber_key: int
    campaign: str
    at: int
    language: str
    def __init__(self, msisdn: _Optional[int] = ..., subscriber_key: _Optional[int] = ..., campaign: _Optional[str] = ..., at: _Optional[int] = ..., language: _Optional[str] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("document_json",)
    DOCUMENT_JSON_FIELD_NUMBER: _ClassVar[int]
    document_json: str
    def __init__(self, document_json: _Optional[str] = ...) -> None: ...

class ReplayRequest(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: str
    def __init__(self, campaign: _Optional[str] = ...) -> None: ...

class ReplayResponse(_message.Message):
    __slots__ = ("document_json",)
    DOCUMENT_JSON_FIELD_NUMBER: _ClassVar[int]
    document_json: str
    def __init__(self, document_json: _Optional[str] = ...) -> None: ...

class RecordConsentsRequest(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[ConsentRecord]
    def __init__(self, records: _Optional[_Iterable[_Union[ConsentRecord, _Mapping]]] = ...) -> None: ...

class ConsentRecord(_message.Message):
    __slots__ = ("msisdn", "purpose", "evidence", "given_at", "expires_at", "change")
    MSISDN_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    GIVEN_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    msisdn: int
    purpose: str
    evidence: str
    given_at: int
    expires_at: int
    change: ConsentChange
    def __init__(self, msisdn: _Optional[int] = ..., purpose: _Optional[str] = ..., evidence: _Optional[str] = ..., given_at: _Optional[int] = ..., expires_at: _Optional[int] = ..., change: _Optional[_Union[ConsentChange, str]] = ...) -> None: ...

class RecordConsentsResponse(_message.Message):
    __slots__ = ("recorded",)
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    recorded: int
    def __init__(self, recorded: _Optional[int] = ...) -> None: ...

class ExportSubscriberRequest(_message.Message):
    __slots__ = ("msisdn",)
    MSISDN_FIELD_NUMBER: _ClassVar[int]
    msisdn: int
    def __init__(self, msisdn: _Optional[int] = ...) -> None: ...

class ExportSubscriberResponse(_message.Message):
    __slots__ = ("document_json",)
    DOCUMENT_JSON_FIELD_NUMBER: _ClassVar[int]
    document_json: str
    def __init__(self, document_json: _Optional[str] = ...) -> None: ...

class EraseSubscriberRequest(_message.Message):
    __slots__ = ("msisdn",)
    MSISDN_FIELD_NUMBER: _ClassVar[int]
    msisdn: int
    def __init__(self, msisdn: _Optional[int] = ...) -> None: ...

class EraseSubscriberResponse(_message.Message):
    __slots__ = ("document_json",)
    DOCUMENT_JSON_FIELD_NUMBER: _ClassVar[int]
    document_json: str
    def __init__(self, document_json: _Optional[str] = ...) -> None: ...
