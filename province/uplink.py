"""What this province tells HQ: outbox entries, appended in the transaction of the change they tell.

Ring the bell for ("hq", stream) after the commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, false, select

from common.courier import log
from common.delivery import ledger, order_pages
from common.delivery.stops import all_stops
from common.delivery.tables import vault
from common.kernel.columns import Keys, Mask, Rows
from common.kernel.order import OrderRecords, PoolChange
from common.kernel.pool import PoolChanges
from common.kernel.result import results_of
from common.kernel.stop import Stops, stops_of
from common.kernel.task_block import BLOCK_ROWS, TaskBlock, unsettled
from common.kernel.work_order import WorkOrder, WorkOrderEvent, WorkOrderState
from common.runtime.clock import Clock
from common.wire import codec
from common.wire.streams import HQ

T = TypeVar("T", Stops, OrderRecords, PoolChanges)

TOLD_STATES = (WorkOrderState.ACCEPTED, WorkOrderState.REJECTED, WorkOrderState.COMPLETED)


def append_results(connection: Connection, block: TaskBlock, rows: Rows, now: int) -> None:
    if len(rows):
        log.append(connection, HQ, "results", [codec.outbox_entry(results_of(block, rows))], now)


def append_stops(connection: Connection, stops: Stops, now: int) -> None:
    log.append(connection, HQ, "control", [codec.outbox_entry(part) for part in _parts(stops)], now)


def append_orders(connection: Connection, records: OrderRecords, now: int) -> None:
    log.append(connection, HQ, "orders", [codec.outbox_entry(part) for part in _parts(records)], now)


def append_pool(connection: Connection, changes: PoolChanges, now: int) -> None:
    log.append(connection, HQ, "pool", [codec.outbox_entry(part) for part in _parts(changes)], now)


def append_work_order_event(connection: Connection, event: WorkOrderEvent, now: int) -> None:
    log.append(connection, HQ, "control", [codec.outbox_entry(event)], now)


class HqOutlet:
    """Delivery's outlet in a province: what is final goes to HQ."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def settled(self, connection: Connection, block: TaskBlock, rows: Rows) -> None:
        append_results(connection, block, rows, self._clock.now())

    def stopped(self, connection: Connection, keys: Keys, times: NDArray[np.int64], lifted: Mask) -> None:
        append_stops(connection, stops_of(keys, times.astype(np.uint32), lifted), self._clock.now())

    def finished(self, connection: Connection, work_order: WorkOrder) -> None:
        if work_order.leased:  # of the province's own HQ learns by its results, which may come later than this would
            append_work_order_event(
                connection, WorkOrderEvent(work_order.name, WorkOrderState.COMPLETED), self._clock.now()
            )


def append_everything(connection: Connection, stream: str, now: int) -> None:
    """All this node knows that HQ should, once more: for when either side came back from a backup."""
    {"control": _all_control, "results": _all_results, "orders": _all_orders, "pool": _all_pool}[stream](
        connection, now
    )


def _all_control(connection: Connection, now: int) -> None:
    keys, times, lifted = all_stops(connection)
    append_stops(connection, stops_of(keys, times.astype(np.uint32), lifted), now)
    for order in filter(lambda each: each.leased, ledger.work_orders(connection, states=TOLD_STATES)):
        append_work_order_event(connection, WorkOrderEvent(order.name, order.state), now)


def _all_results(connection: Connection, now: int) -> None:
    for order in ledger.work_orders(connection):
        for block in ledger.blocks(connection, order.name):
            append_results(connection, block, np.flatnonzero(~unsettled(block) | (block.responses > 0)), now)


def _all_orders(connection: Connection, now: int) -> None:
    after = None
    for end in order_pages.page_ends(connection):
        append_orders(connection, order_pages.page(connection, after, end), now)
        after = end


def _all_pool(connection: Connection, now: int) -> None:
    """Who left; that the others are here is what HQ assumes."""
    gone = select(vault.c.subscriber_key).where(vault.c.active == false()).order_by(vault.c.subscriber_key)
    keys = np.fromiter(connection.execute(gone).scalars(), dtype=np.int64)
    changes = np.full(len(keys), PoolChange.LEFT, dtype=np.uint8)
    append_pool(connection, PoolChanges(keys, changes, np.full(len(keys), now, dtype=np.uint32)), now)


def _parts(columns: T) -> Iterator[T]:
    for start in range(0, len(columns), BLOCK_ROWS):
        yield columns.take(np.arange(start, min(start + BLOCK_ROWS, len(columns))))
