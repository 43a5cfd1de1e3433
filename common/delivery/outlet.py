"""Where delivery tells the rest of the node what became of tasks."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection

from common.kernel.columns import Rows
from common.kernel.decision import Decision
from common.kernel.stop import Stops
from common.kernel.task_block import TaskBlock
from common.kernel.work_order import WorkOrder


class Outlet(Protocol):
    """Called inside the transaction that made the change, so fact and announcement commit together."""

    def decided(self, connection: Connection, decision: Decision) -> None:
        """What follows from it is told after it."""
        ...

    def settled(self, connection: Connection, block: TaskBlock, rows: Rows) -> None:
        """`rows` of `block` reached their terminal state, or were in it and got a higher response."""
        ...

    def stopped(self, connection: Connection, stops: Stops) -> None:
        """These people asked to be left alone, and this node did not know it yet."""
        ...

    def finished(self, connection: Connection, work_order: WorkOrder) -> None:
        """Every task of `work_order` is terminal; it is COMPLETED."""
        ...
