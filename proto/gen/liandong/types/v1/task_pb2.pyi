from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class TaskState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_STATE_UNSPECIFIED: _ClassVar[TaskState]
    TASK_STATE_OPEN: _ClassVar[TaskState]
    TASK_STATE_SUBMITTING: _ClassVar[TaskState]
    TASK_STATE_SUBMITTED: _ClassVar[TaskState]
    TASK_STATE_DELIVERED: _ClassVar[TaskState]
    TASK_STATE_SUPPRESSED: _ClassVar[TaskState]
    TASK_STATE_EXPIRED: _ClassVar[TaskState]
    TASK_STATE_FAILED: _ClassVar[TaskState]
    TASK_STATE_UNKNOWN: _ClassVar[TaskState]

class Response(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESPONSE_UNSPECIFIED: _ClassVar[Response]
    RESPONSE_RESPONDED: _ClassVar[Response]
    RESPONSE_INTERESTED: _ClassVar[Response]
    RESPONSE_REFUSED: _ClassVar[Response]
    RESPONSE_OPTED_OUT: _ClassVar[Response]
TASK_STATE_UNSPECIFIED: TaskState
TASK_STATE_OPEN: TaskState
TASK_STATE_SUBMITTING: TaskState
TASK_STATE_SUBMITTED: TaskState
TASK_STATE_DELIVERED: TaskState
TASK_STATE_SUPPRESSED: TaskState
TASK_STATE_EXPIRED: TaskState
TASK_STATE_FAILED: TaskState
TASK_STATE_UNKNOWN: TaskState
RESPONSE_UNSPECIFIED: Response
RESPONSE_RESPONDED: Response
RESPONSE_INTERESTED: Response
RESPONSE_REFUSED: Response
RESPONSE_OPTED_OUT: Response
