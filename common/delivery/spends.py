"""The contacts the ledger has spent, or holds for tasks still to be sent, within a range of keys."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Connection, bindparam, false, or_, select

from common.delivery.tables import STATE_COLUMNS, task_block, work_order
from common.kernel.budget import Account, Spends, joined, spend_dates
from common.kernel.channel import CHANNELS
from common.kernel.policy import SPEND_MARGIN_SECONDS, Policy
from common.kernel.task import TaskState

_OPEN, _SUBMITTING = (task_block.c[STATE_COLUMNS[state]] for state in (TaskState.OPEN, TaskState.SUBMITTING))
_BETWEEN = (
    select(
        work_order.c.name,
        work_order.c.channel,
        work_order.c.product_line,
        work_order.c.end_at,
        task_block.c["keys"],
        task_block.c.states,
        task_block.c.reasons,
        task_block.c.submitted_at,
        task_block.c.settled_at,
    )
    .join(work_order, work_order.c.name == task_block.c.work_order)
    .where(
        task_block.c.first_key <= bindparam("last"),
        task_block.c.last_key >= bindparam("first"),
        or_(task_block.c.last_submitted_at >= bindparam("since"), _OPEN > 0, _SUBMITTING > 0),
        work_order.c.leased == bindparam("leased"),
        work_order.c.service == false(),
        work_order.c.name != bindparam("but"),
    )
    .order_by(work_order.c.name)
)

_KINDS = ("<i8", "u1", "u1", "<u4", "<u4")


def between(
    connection: Connection, first: int, last: int, policy: Policy, now: int, *, leased: bool, but: str = ""
) -> Spends:
    """Those of keys in [first, last] that some cap may still count, of marketing work orders other than `but`.

    `leased`: spent from HQ's tokens; else from the executing node's own.
    """
    since = now - policy.longest_window_seconds - SPEND_MARGIN_SECONDS
    wanted = {"first": first, "last": last, "since": since, "leased": leased, "but": but}
    parts = []
    for name, channel, line, end_at, *blobs in connection.execute(_BETWEEN, wanted):
        keys, states, why, submitted, settled = (np.frombuffer(*each) for each in zip(blobs, _KINDS, strict=True))
        dates = spend_dates(states, why, submitted, settled, end_at)
        kept = (keys >= first) & (keys <= last) & (dates >= max(since, 1))
        if kept.any():
            parts.append((account(name, channel, line), keys[kept], dates[kept]))
    return joined(parts)


def account(work_order: str, channel: str, product_line: str) -> Account:
    known = CHANNELS.get(channel)
    return Account(work_order, known.channel_class if known else "", product_line)
