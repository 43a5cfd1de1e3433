"""What a province's decisions about its own contacts are made of, read from its store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, func, select

from common.delivery import fence, policies, spends
from common.delivery.tables import STATE_COLUMNS, task_block, vault, work_order
from common.kernel.columns import Keys
from common.kernel.contact_rules import fact_of
from common.kernel.policy import SPEND_MARGIN_SECONDS, Policy
from common.kernel.task import TaskState
from province.coordination import Books, open_books
from province.local_request import LocalRequest

KEY_MAX = (1 << 63) - 1
DAY_SECONDS = 86_400

_MOVED = (
    select(vault.c.subscriber_key, vault.c.home_since)
    .where(vault.c.home_since > 0, vault.c.home_since > bindparam("since"))
    .order_by(vault.c.subscriber_key)
)
_COUNTED = [
    task_block.c[STATE_COLUMNS[state]]
    for state in TaskState
    if state not in (TaskState.SUPPRESSED, TaskState.EXPIRED, TaskState.FAILED)
]
_BOOKED = (
    select(func.coalesce(func.sum(sum(_COUNTED[1:], _COUNTED[0])), 0))
    .join(work_order, work_order.c.name == task_block.c.work_order)
    .where(
        work_order.c.channel == bindparam("on"),
        work_order.c.end_at > bindparam("start"),
        work_order.c.start_at < bindparam("end"),
    )
)


def books(connection: Connection, now: int) -> Books:
    """What the province has spent so far, from the recipient ledger."""
    policy = policies.in_force(connection)
    return open_books(spends.between(connection, 0, KEY_MAX, policy, now, leased=False), policy, now)


def since(connection: Connection, asked: Sequence[LocalRequest], policy: Policy, now: int) -> list[NDArray[np.int64]]:
    """For each request, when each person's contacts became this province's to spend; 0: they always were.

    With a move here they come as spent, for the province left may have spent them; after a restore they count as
    spent, for nobody knows.
    """
    reach = now - policy.longest_window_seconds - SPEND_MARGIN_SECONDS
    fenced_at = fence.load(connection).fenced_at
    moved = np.array(connection.execute(_MOVED, {"since": reach}).all(), dtype=np.int64).reshape(-1, 2)
    return [_all_spent_at(_aligned(request.keys, moved), fenced_at) for request in asked]


def _all_spent_at(moved_at: NDArray[np.int64], fenced_at: int) -> NDArray[np.int64]:
    return np.maximum(moved_at, fenced_at)


def rooms(connection: Connection, asked: Sequence[LocalRequest], policy: Policy, now: int) -> dict[str, int]:
    """Places left on each channel whose days are bounded: in the shortest of the validities asked for."""
    found: dict[str, int] = {}
    for request in asked:
        a_day = policy.capacity(request.channel)
        if a_day is not None:
            days = -(-(request.end_at - now) // DAY_SECONDS)
            wanted = {"on": request.channel, "start": now, "end": request.end_at}
            left = a_day * days - int(connection.execute(_BOOKED, wanted).scalar_one())
            found[request.channel] = min(left, found.get(request.channel, left))
    return found


def _aligned(keys: Keys, moved: NDArray[np.int64]) -> NDArray[np.int64]:
    moments = np.zeros(len(keys), dtype=np.int64)
    known = fact_of(keys, moved[:, 0], moved[:, 1])
    moments[known.places] = known.values
    return moments
