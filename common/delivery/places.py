"""The places a channel has left today at one node: counted where they are used, whoever issued the tasks."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection, bindparam, select

from common.delivery.tables import task_block, work_order
from common.kernel.channel import Channel
from common.kernel.policy import SUBMIT_SECONDS, Policy
from common.kernel.task import TaskState

_SINCE = (
    select(task_block.c.states, task_block.c.submitted_at, task_block.c.settled_at)
    .join(work_order, work_order.c.name == task_block.c.work_order)
    .where(
        work_order.c.channel == bindparam("channel"),
        work_order.c.node == bindparam("node"),
        task_block.c.last_submitted_at >= bindparam("since"),
    )
)


def left(connection: Connection, node: str, channel: Channel, policy: Policy, now: int, most: int) -> int:
    """At most `most`. What was booked just before midnight may be taken after it, and counts for both days."""
    a_day = policy.capacity(channel.name)
    if a_day is None:
        return most
    since = _midnight(channel.zone, now) - SUBMIT_SECONDS
    wanted = {"channel": channel.name, "node": node, "since": since}
    taken = sum(_since(*row, since) for row in connection.execute(_SINCE, wanted))
    return max(0, min(most, a_day - taken))


def _since(states: bytes, submitted_at: bytes, settled_at: bytes, since: int) -> int:
    """What is unknown may have been a contact as late as it was given up."""
    unknown = np.frombuffer(states, "u1") == TaskState.UNKNOWN
    submitted, settled = np.frombuffer(submitted_at, "<u4"), np.frombuffer(settled_at, "<u4")
    return int(np.count_nonzero(np.where(unknown, np.maximum(submitted, settled), submitted) >= since))


def _midnight(zone: str, now: int) -> int:
    local = datetime.fromtimestamp(now, ZoneInfo(zone))
    return int(local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp())
