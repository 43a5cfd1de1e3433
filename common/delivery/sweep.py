"""What only time decides: validity that is over, cancelled remainders, receipts that never came."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from sqlalchemy import Connection

from common.delivery import ledger, settle
from common.delivery.claim import ending
from common.delivery.outlet import Outlet
from common.kernel.channel import Channel
from common.kernel.task import TaskEvent, TaskReason, TaskState
from common.kernel.task_block import advance
from common.kernel.work_order import MOVES, WorkOrder, WorkOrderState

LIVE = [state for state, reachable in MOVES.items() if WorkOrderState.COMPLETED in reachable]


def due(connection: Connection, node: str, channels: Mapping[str, Channel], now: int) -> list[tuple[WorkOrder, int]]:
    """The blocks of the node's work orders that may hold a task whose time is up."""
    found: set[tuple[WorkOrder, int]] = set()
    # Nothing was submitted before start_at, so until then plus the time for receipts there is nothing to look for.
    quickest = min((channel.receipt_hours for channel in channels.values()), default=0)
    for order in ledger.work_orders_over(connection, node, LIVE, now, now - quickest * 3600):
        if order.channel in channels:
            for state in _states_due(order, channels[order.channel], now):
                found.update((order, n) for n in ledger.block_numbers(connection, order.name, with_state=state))
    return sorted(found, key=lambda entry: (entry[0].name, entry[1]))


def sweep_block(
    connection: Connection,
    work_order: WorkOrder,
    number: int,
    now: int,
    channel: Channel,
    busy: Collection[tuple[str, int]],
    outlet: Outlet,
) -> None:
    """End what is over in one block. Messages being sent this moment (the block is in `busy`) are left alone."""
    order = ledger.load_work_order(connection, work_order.name)
    block = ledger.load_block(connection, work_order.name, number)
    if order is None or block is None:
        return
    over = ending(order, now)
    changed = []
    if over is not None:
        block, rows = advance(block, np.flatnonzero(block.states == TaskState.OPEN), *over, now)
        changed.append(rows)
    overdue = block.submitted_at.astype(np.int64) + channel.receipt_hours * 3600 <= now
    silent = overdue & (block.states == TaskState.SUBMITTED)
    block, rows = advance(block, np.flatnonzero(silent), TaskEvent.LOSE, TaskReason.NO_RECEIPT, now)
    changed.append(rows)
    if (order.name, number) not in busy:
        unanswered = overdue & (block.states == TaskState.SUBMITTING)
        block, rows = advance(block, np.flatnonzero(unanswered), TaskEvent.LOSE, TaskReason.NO_ANSWER, now)
        changed.append(rows)
    settle.save(connection, block, np.concatenate(changed), outlet)


def finish_all(connection: Connection, node: str, outlet: Outlet) -> int:
    """Complete every work order of the node that has nothing left to do; answers how many."""
    return sum(settle.finish(connection, name, outlet) for name in ledger.settled_orders(connection, node, LIVE))


def _states_due(order: WorkOrder, channel: Channel, now: int) -> list[TaskState]:
    silent = order.start_at + channel.receipt_hours * 3600 <= now
    states = [TaskState.SUBMITTED, TaskState.SUBMITTING] if silent else []
    return [TaskState.OPEN, *states] if ending(order, now) is not None else states
