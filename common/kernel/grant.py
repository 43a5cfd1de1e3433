"""A province's request for contacts beyond its own."""

from __future__ import annotations

from dataclasses import dataclass

from common.kernel.task_block import TaskBlock


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """`tasks` is block 0 of the work order that HQ would issue; times are Unix seconds."""

    request_id: str
    """Chosen by the province, unique in it for ever."""
    channel: str
    offer: str
    product_line: str
    purpose: str
    start_at: int
    end_at: int
    priority: int
    tasks: TaskBlock
