"""What HQ puts on the provinces' feeds, and the snapshot for a reader whose place is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, select

from common.courier import log
from common.delivery import ledger, order_pages
from common.delivery.tables import stop
from common.kernel.columns import Keys, Mask, Rows
from common.kernel.order import OrderRecords
from common.kernel.stop import Stops, stops_of
from common.kernel.task_block import BLOCK_ROWS, TaskBlock
from common.kernel.work_order import WorkOrder, WorkOrderCommand, WorkOrderState
from common.runtime.clock import Clock
from common.wire import codec
from hq.store import provinces

CONTROL, WORK_ORDERS, ORDERS = TOPICS = ("control", "work_orders", "orders")
_STOPPED_KEYS = select(stop.c.subscriber_key).order_by(stop.c.subscriber_key)
_STOPS = (
    select(stop.c.subscriber_key, stop.c.stopped_at, stop.c.lifted)
    .where(stop.c.subscriber_key.between(bindparam("first"), bindparam("last")))
    .order_by(stop.c.subscriber_key)
    .limit(BLOCK_ROWS)
)
FINISHED = (WorkOrderState.REJECTED, WorkOrderState.COMPLETED)

Piece = Callable[[Connection], codec.Incoming | None]
"""Reads one snapshot entry; None where what it would tell is gone."""


def put(connection: Connection, province: str, values: Sequence[codec.Incoming], now: int) -> None:
    """Append to the province's feed, each value on its topic, large columns cut to block size.

    After the commit, ring the bell for (province, topic).
    """
    for topic in TOPICS:
        payloads = [codec.feed_entry(part) for v in values if topic_of(v) == topic for part in _parts(v)]
        log.append(connection, province, topic, payloads, now)


def put_stops(connection: Connection, stops: Stops, now: int, *, but: str = "") -> list[str]:
    """Tell every enrolled province but the one that told us; answers whose control feed grew."""
    if len(stops) == 0:
        return []
    told = [code for code in provinces.enrolled(connection) if code != but]
    for code in told:
        put(connection, code, [stops], now)
    return told


class HqOutlet:
    """What level-one delivery tells the rest of HQ: stops go to every province; the rest HQ's ledger holds already."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def settled(self, connection: Connection, block: TaskBlock, rows: Rows) -> None: ...

    def stopped(self, connection: Connection, keys: Keys, times: NDArray[np.int64], lifted: Mask) -> None:
        put_stops(connection, stops_of(keys, times.astype(np.uint32), lifted), self._clock.now())

    def finished(self, connection: Connection, work_order: WorkOrder) -> None: ...


def topic_of(value: codec.Incoming) -> str:
    if isinstance(value, WorkOrder | TaskBlock):
        return WORK_ORDERS
    return ORDERS if isinstance(value, OrderRecords) else CONTROL


def snapshot(connection: Connection, province: str, topic: str) -> list[Piece]:
    """All that a province must know of a topic, one piece an entry."""
    build = {CONTROL: _control_pieces, WORK_ORDERS: _work_order_pieces, ORDERS: _order_pieces}[topic]
    return list(build(connection, province))


def _parts(value: codec.Incoming) -> Iterator[codec.Incoming]:
    if not isinstance(value, Stops | OrderRecords):
        yield value
        return
    for start in range(0, len(value), BLOCK_ROWS):
        yield value.take(np.arange(start, min(start + BLOCK_ROWS, len(value))))


def _control_pieces(connection: Connection, province: str) -> Iterator[Piece]:
    keys = np.fromiter(connection.execute(_STOPPED_KEYS).scalars(), dtype=np.int64)
    for start in range(0, len(keys), BLOCK_ROWS):
        part = keys[start : start + BLOCK_ROWS]
        yield _stop_piece(int(part[0]), int(part[-1]))
    for order in _unfinished(connection, province):
        if order.state != WorkOrderState.ISSUED:
            yield _constant(WorkOrderCommand(order.name, order.state, order.version))


def _stop_piece(first: int, last: int) -> Piece:
    def read(connection: Connection) -> Stops | None:
        rows = connection.execute(_STOPS, {"first": first, "last": last}).all()
        table = np.array([tuple(row) for row in rows], dtype=np.int64)
        return stops_of(table[:, 0], table[:, 1].astype(np.uint32), table[:, 2] == 1) if rows else None

    return read


def _work_order_pieces(connection: Connection, province: str) -> Iterator[Piece]:
    for order in _unfinished(connection, province):
        yield _constant(order)
        for number in ledger.block_numbers(connection, order.name):
            yield _block_piece(order.name, number)


def _block_piece(name: str, number: int) -> Piece:
    return lambda connection: ledger.load_block(connection, name, number)


def _order_pieces(connection: Connection, province: str) -> Iterator[Piece]:
    after = None
    for end in order_pages.page_ends(connection, int(province)):
        yield _order_piece(after, end, int(province))
        after = end


def _order_piece(after: order_pages.Identity | None, end: order_pages.Identity, province: int) -> Piece:
    def read(connection: Connection) -> OrderRecords | None:
        records = order_pages.page(connection, after, end, province)
        return records if len(records) else None

    return read


def _constant(value: codec.Incoming) -> Piece:
    return lambda _connection: value


def _unfinished(connection: Connection, province: str) -> list[WorkOrder]:
    states = [state for state in WorkOrderState if state not in FINISHED]
    return ledger.work_orders(connection, node=province, states=states)
