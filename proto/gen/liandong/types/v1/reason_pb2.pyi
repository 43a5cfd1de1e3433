from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class TaskReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_REASON_UNSPECIFIED: _ClassVar[TaskReason]
    TASK_REASON_STOPPED: _ClassVar[TaskReason]
    TASK_REASON_ORDERED: _ClassVar[TaskReason]
    TASK_REASON_CONTACT_CAP: _ClassVar[TaskReason]
    TASK_REASON_CANCELLED: _ClassVar[TaskReason]
    TASK_REASON_INACTIVE: _ClassVar[TaskReason]
    TASK_REASON_NO_NUMBER: _ClassVar[TaskReason]
    TASK_REASON_VENDOR_REFUSED: _ClassVar[TaskReason]
    TASK_REASON_UNDELIVERABLE: _ClassVar[TaskReason]
    TASK_REASON_NO_RECEIPT: _ClassVar[TaskReason]
    TASK_REASON_NO_ANSWER: _ClassVar[TaskReason]
    TASK_REASON_VALIDITY_OVER: _ClassVar[TaskReason]
    TASK_REASON_VENDOR_EXPIRED: _ClassVar[TaskReason]

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_SEQUENCE_GAP: _ClassVar[ErrorReason]
    ERROR_REASON_SESSION_FENCED: _ClassVar[ErrorReason]
    ERROR_REASON_REVISION_UNSUPPORTED: _ClassVar[ErrorReason]
    ERROR_REASON_SESSION_HELD: _ClassVar[ErrorReason]
    ERROR_REASON_BLOCK_MALFORMED: _ClassVar[ErrorReason]
    ERROR_REASON_BLOCK_TOO_LARGE: _ClassVar[ErrorReason]
    ERROR_REASON_DEADLINE_MISSING: _ClassVar[ErrorReason]
    ERROR_REASON_IDENTITY_NOT_ALLOWED: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_YOURS: _ClassVar[ErrorReason]
    ERROR_REASON_CAMPAIGN_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_STATE_CONFLICT: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_THROTTLED: _ClassVar[ErrorReason]
    ERROR_REASON_EPOCH_STALE: _ClassVar[ErrorReason]
    ERROR_REASON_ARGUMENT_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_DRAINING: _ClassVar[ErrorReason]
TASK_REASON_UNSPECIFIED: TaskReason
TASK_REASON_STOPPED: TaskReason
TASK_REASON_ORDERED: TaskReason
TASK_REASON_CONTACT_CAP: TaskReason
TASK_REASON_CANCELLED: TaskReason
TASK_REASON_INACTIVE: TaskReason
TASK_REASON_NO_NUMBER: TaskReason
TASK_REASON_VENDOR_REFUSED: TaskReason
TASK_REASON_UNDELIVERABLE: TaskReason
TASK_REASON_NO_RECEIPT: TaskReason
TASK_REASON_NO_ANSWER: TaskReason
TASK_REASON_VALIDITY_OVER: TaskReason
TASK_REASON_VENDOR_EXPIRED: TaskReason
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_SEQUENCE_GAP: ErrorReason
ERROR_REASON_SESSION_FENCED: ErrorReason
ERROR_REASON_REVISION_UNSUPPORTED: ErrorReason
ERROR_REASON_SESSION_HELD: ErrorReason
ERROR_REASON_BLOCK_MALFORMED: ErrorReason
ERROR_REASON_BLOCK_TOO_LARGE: ErrorReason
ERROR_REASON_DEADLINE_MISSING: ErrorReason
ERROR_REASON_IDENTITY_NOT_ALLOWED: ErrorReason
ERROR_REASON_NOT_YOURS: ErrorReason
ERROR_REASON_CAMPAIGN_INVALID: ErrorReason
ERROR_REASON_STATE_CONFLICT: ErrorReason
ERROR_REASON_NOT_FOUND: ErrorReason
ERROR_REASON_THROTTLED: ErrorReason
ERROR_REASON_EPOCH_STALE: ErrorReason
ERROR_REASON_ARGUMENT_INVALID: ErrorReason
ERROR_REASON_DRAINING: ErrorReason
