"""What HQ puts on the provinces' feeds, and the snapshot for a reader whose place is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from sqlalchemy import Connection, Table, select

from common.courier import log
from common.delivery import consents, erasures, host_lists, ledger, order_pages, policies, stops, triggers
from common.delivery.tables import consent, erasure, stop
from common.kernel.columns import Keys, Rows
from common.kernel.consent import Consents
from common.kernel.decision import Decision
from common.kernel.erasure import Erasures
from common.kernel.order import OrderRecords
from common.kernel.stop import Stops
from common.kernel.task_block import BLOCK_ROWS, TaskBlock
from common.kernel.work_order import WorkOrder, WorkOrderCommand, WorkOrderState
from common.runtime.clock import Clock
from common.wire import codec
from hq.store import provinces

CONTROL, WORK_ORDERS, ORDERS = TOPICS = ("control", "work_orders", "orders")
CONSENT_ROWS = 1_000
"""In an entry: each row has a text, where the evidence is kept."""
FINISHED = (WorkOrderState.REJECTED, WorkOrderState.COMPLETED)

_KEYS = {table: select(table.c.subscriber_key).order_by(table.c.subscriber_key) for table in (stop, consent, erasure)}

People = Stops | Consents | Erasures
"""What is said of people, and concerns every node."""
Piece = Callable[[Connection], codec.Incoming | None]
"""Reads one snapshot entry; None where what it would tell is gone."""


def put(connection: Connection, province: str, values: Sequence[codec.Incoming], now: int) -> None:
    """Append to the province's feed, each value on its topic, large columns cut to block size.

    After the commit, ring the bell for (province, topic).
    """
    values = [erasures.forgotten(connection, v) if isinstance(v, TaskBlock) else v for v in values]
    for topic in TOPICS:
        payloads = [codec.feed_entry(part) for v in values if topic_of(v) == topic for part in parts(v)]
        if payloads:
            log.append(connection, province, topic, payloads, now)


def tell(connection: Connection, said: People, now: int, *, but: str = "") -> list[str]:
    """Tell every enrolled province but the one that told us; answers whose control feed grew."""
    if len(said) == 0:
        return []
    return put_all(connection, list(parts(said)), now, but=but)


def put_all(connection: Connection, values: Sequence[codec.Incoming], now: int, *, but: str = "") -> list[str]:
    """Append to the control feed of every enrolled province but that one; answers whose."""
    payloads = [codec.feed_entry(value) for value in values]
    told = [code for code in provinces.enrolled(connection) if code != but]
    for code in told:
        log.append(connection, code, CONTROL, payloads, now)
    return told


class HqOutlet:
    """What level-one delivery tells the rest of HQ: stops go to every province; the rest HQ's ledger holds already."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def decided(self, connection: Connection, decision: Decision) -> None: ...

    def settled(self, connection: Connection, block: TaskBlock, rows: Rows) -> None: ...

    def stopped(self, connection: Connection, stops: Stops) -> None:
        tell(connection, stops, self._clock.now())

    def finished(self, connection: Connection, work_order: WorkOrder) -> None: ...


def topic_of(value: codec.Incoming) -> str:
    if isinstance(value, WorkOrder | TaskBlock):
        return WORK_ORDERS
    return ORDERS if isinstance(value, OrderRecords) else CONTROL


def snapshot(connection: Connection, province: str, topic: str) -> list[Piece]:
    """All that a province must know of a topic, one piece an entry."""
    build = {CONTROL: _control_pieces, WORK_ORDERS: _work_order_pieces, ORDERS: _order_pieces}[topic]
    return list(build(connection, province))


def parts(value: codec.Incoming) -> Iterator[codec.Incoming]:
    """`value` in entries of block size."""
    if not isinstance(value, Stops | OrderRecords | Consents | Erasures):
        yield value
        return
    size = CONSENT_ROWS if isinstance(value, Consents) else BLOCK_ROWS
    for start in range(0, len(value), size):
        yield value.take(np.arange(start, min(start + size, len(value))))


def _control_pieces(connection: Connection, province: str) -> Iterator[Piece]:
    newest = policies.newest(connection)
    if newest is not None:
        yield _constant(newest)
    # Whether a document names them yet or not: the rest of a list may be on its way, and its document after it.
    for digest, number in host_lists.every(connection):
        yield partial(host_lists.part, digest=digest, number=number)
    for said in triggers.newest(connection):
        yield _constant(said)
    yield from _key_pieces(connection, stop, stops.stops_between, BLOCK_ROWS // 2)
    yield from _key_pieces(connection, consent, consents.consents_between, CONSENT_ROWS // 2)
    yield from _key_pieces(connection, erasure, erasures.erasures_between, BLOCK_ROWS // 2)
    for order in _unfinished(connection, province):
        if order.state != WorkOrderState.ISSUED:
            yield _constant(WorkOrderCommand(order.name, order.state, order.version))


def _key_pieces(
    connection: Connection, table: Table, read: Callable[[Connection, int, int], People], rows: int
) -> Iterator[Piece]:
    """All rows of `table` in ranges of keys, some `rows` each: what comes in meanwhile must still fit in an entry."""
    keys = np.fromiter(connection.execute(_KEYS[table]).scalars(), dtype=np.int64)
    for first, last in ranges(keys, rows):
        yield _range_piece(read, first, last)


def ranges(keys: Keys, rows: int) -> Iterator[tuple[int, int]]:
    """First and last keys of stretches of some `rows` of `keys` (ascending); rows of one key stay together."""
    start = 0
    while start < len(keys):
        end = int(np.searchsorted(keys, keys[min(start + rows, len(keys)) - 1], "right"))
        yield int(keys[start]), int(keys[end - 1])
        start = end


def _range_piece(read: Callable[[Connection, int, int], People], first: int, last: int) -> Piece:
    def piece(connection: Connection) -> codec.Incoming | None:
        found = read(connection, first, last)
        return found if len(found) else None

    return piece


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
