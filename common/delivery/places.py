"""The places a channel has left today at one node: counted where they are used, whoever issued the tasks."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection, bindparam, or_, select

from common.delivery import fence
from common.delivery.tables import STATE_COLUMNS, task_block, work_order
from common.kernel.channel import Channel
from common.kernel.policy import SUBMIT_SECONDS, Policy
from common.kernel.task import TaskState

_SINCE = (
    select(task_block.c.states, task_block.c.submitted_at, task_block.c.settled_at)
    .join(work_order, work_order.c.name == task_block.c.work_order)
    .where(
        work_order.c.channel == bindparam("channel"),
        work_order.c.node == bindparam("node"),
        or_(
            task_block.c.last_submitted_at >= bindparam("since"),
            task_block.c[STATE_COLUMNS[TaskState.SUBMITTING]] > 0,
        ),
    )
)


def left(connection: Connection, node: str, channel: Channel, policy: Policy, now: int, most: int) -> int:
    """At most `most`; none on the day of a restore, for nobody knows how many were used before it.

    What was booked just before midnight may be taken after it, and counts for both days.
    """
    a_day = policy.capacity(channel.name)
    if a_day is None:
        return most
    since = _midnight(channel.zone, now) - SUBMIT_SECONDS
    if _forgot(connection, since):
        return 0
    wanted = {"channel": channel.name, "node": node, "since": since}
    taken = sum(_since(*row, since) for row in connection.execute(_SINCE, wanted))
    return max(0, min(most, a_day - taken))


def _forgot(connection: Connection, since: int) -> bool:
    return fence.load(connection).fenced_at >= since


def _since(states: bytes, submitted_at: bytes, settled_at: bytes, since: int) -> int:
    """What is unknown may have been a contact as late as it was given up; what is unanswered may yet be sent again."""
    codes = np.frombuffer(states, "u1")
    unknown, unanswered = codes == TaskState.UNKNOWN, codes == TaskState.SUBMITTING
    submitted, settled = np.frombuffer(submitted_at, "<u4"), np.frombuffer(settled_at, "<u4")
    dates = np.where(unknown, np.maximum(submitted, settled), submitted)
    return int(np.count_nonzero(unanswered | (dates >= since)))


def _midnight(zone: str, now: int) -> int:
    local = datetime.fromtimestamp(now, ZoneInfo(zone))
    return int(local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp())
