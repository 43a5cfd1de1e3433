"""What follows every change of a block: it is saved, and what is final is announced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sqlalchemy import Connection

from common.delivery import ledger
from common.delivery.outlet import Outlet
from common.kernel.budget import latest
from common.kernel.columns import Rows
from common.kernel.task import UNSETTLED
from common.kernel.task_block import TaskBlock, unsettled
from common.kernel.work_order import MOVES, WorkOrderState


def save(connection: Connection, block: TaskBlock, changed: Rows, outlet: Outlet) -> None:
    """Save `block`, of which `changed` rows differ from what is stored; the last task settled ends its work order."""
    if len(changed) == 0:
        return
    ledger.save_block(connection, block)
    still_open = unsettled(block)
    settled = changed[~still_open[changed]]
    if len(settled):
        outlet.settled(connection, block, settled)
    if not still_open.any():
        finish(connection, block.work_order, outlet)


def dated(block: TaskBlock, rows: Rows, now: int) -> tuple[TaskBlock, Rows]:
    """The block with those of `rows` dated `now` that may have been sent as late as that; and which those are.

    Nobody knows which of several sendings was the contact: DUPLICATE only tells that it was one before the last.
    """
    submitted_at = block.submitted_at.copy()
    submitted_at[rows] = latest(submitted_at[rows], now)
    return replace(block, submitted_at=submitted_at), np.flatnonzero(submitted_at != block.submitted_at)


def finish(connection: Connection, work_order: str, outlet: Outlet) -> bool:
    """Complete the work order if all its tasks are here and terminal."""
    order = ledger.load_work_order(connection, work_order)
    if order is None or WorkOrderState.COMPLETED not in MOVES[order.state]:
        return False
    counted = ledger.counts(connection, work_order)
    if any(counted[state] for state in UNSETTLED) or sum(counted.values()) != order.task_count:
        return False
    ledger.set_state(connection, work_order, WorkOrderState.COMPLETED)
    outlet.finished(connection, replace(order, state=WorkOrderState.COMPLETED))
    return True
