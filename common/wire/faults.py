"""Refusals to and from `google.rpc.Status` with one ErrorInfo."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from liandong.types.v1.reason_pb2 import ErrorReason

from common.kernel.refusal import Fault, Refusal

DOMAIN = "liandong"
PREFIX = "ERROR_REASON_"
DETAIL_CHARS_MAX = 2_000
"""Details travel in headers, which gateways cut off at 8 KiB or less."""
_DETAILS_KEY = "grpc-status-details-bin"

STATUS: dict[Fault, grpc.StatusCode] = {
    Fault.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Fault.MISSING: grpc.StatusCode.NOT_FOUND,
    Fault.CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.HELD: grpc.StatusCode.ALREADY_EXISTS,
    Fault.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Fault.BUSY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Fault.DRAINING: grpc.StatusCode.UNAVAILABLE,
}
assert STATUS.keys() == set(Fault), "every fault has exactly one status"  # noqa: S101
_FAULT = {code: fault for fault, code in STATUS.items()}


def to_status(refusal: Refusal) -> status_pb2.Status:
    """Raises ValueError where the reason is not in the contract: a refusal nobody could look up."""
    ErrorReason.Value(PREFIX + refusal.reason)
    info = error_details_pb2.ErrorInfo(reason=refusal.reason, domain=DOMAIN, metadata=refusal.metadata)
    details = [_packed(info)]
    if refusal.retry_seconds:
        delay = Duration()
        delay.FromNanoseconds(round(refusal.retry_seconds * 1e9))
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    code = STATUS[refusal.fault].value[0]
    return status_pb2.Status(code=code, message=refusal.message[:DETAIL_CHARS_MAX], details=details)


def of_error(error: grpc.RpcError) -> Refusal | None:
    """The refusal a call was answered with; None where the call failed in some other way."""
    answer: Any = error
    fault = _FAULT.get(answer.code())
    status = _status(answer.trailing_metadata())
    if fault is None or status is None:
        return None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        if not detail.Unpack(info):
            detail.Unpack(retry)
    if info.domain != DOMAIN:
        return None
    seconds = retry.retry_delay.ToNanoseconds() / 1e9
    return Refusal(fault, info.reason, status.message, metadata=dict(info.metadata), retry_seconds=seconds)


def _status(metadata: Any) -> status_pb2.Status | None:
    raw = next((value for key, value in metadata or () if key == _DETAILS_KEY), None)
    return None if raw is None else status_pb2.Status.FromString(raw)


def _packed(message: Any) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
