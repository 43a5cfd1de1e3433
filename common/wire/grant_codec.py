"""Between the grant contract and the kernel's values."""

from __future__ import annotations

import re

from liandong.federation.v1 import grant_pb2

from common.kernel.grant import GrantRequest
from common.kernel.refusal import invalid
from common.wire import codec

_REQUEST_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NAME_CHARS_MAX = 64
PRIORITY_MAX = 100


def grant_request(value: GrantRequest, fence: int) -> grant_pb2.AcquireGrantsRequest:
    return grant_pb2.AcquireGrantsRequest(
        fence=fence,
        request_id=value.request_id,
        channel=value.channel,
        offer=value.offer,
        product_line=value.product_line,
        purpose=value.purpose,
        start_at=value.start_at,
        end_at=value.end_at,
        priority=value.priority,
        tasks=codec.task_block_fields(value.tasks),
    )


def read_grant_request(message: grant_pb2.AcquireGrantsRequest) -> GrantRequest:
    if not _REQUEST_ID.fullmatch(message.request_id):
        raise invalid("request_id must have 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit")
    for field in ("channel", "offer", "product_line", "purpose"):
        if len(getattr(message, field)) > _NAME_CHARS_MAX:
            raise invalid(f"{field} has more than {_NAME_CHARS_MAX} characters")
    if message.start_at >= message.end_at:
        raise invalid("end_at is not after start_at")
    if message.priority > PRIORITY_MAX:
        raise invalid(f"priority {message.priority} is out of range; give 0 to {PRIORITY_MAX}")
    return GrantRequest(
        request_id=message.request_id,
        channel=message.channel,
        offer=message.offer,
        product_line=message.product_line,
        purpose=message.purpose,
        start_at=message.start_at,
        end_at=message.end_at,
        priority=message.priority,
        tasks=codec.read_task_block(message.tasks),
    )
