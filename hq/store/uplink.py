"""Applies what a province reports, by business key: applying it again changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
from sqlalchemy import Connection

from common.delivery import ledger, orders, stops, vault
from common.kernel.columns import Keys, Mask
from common.kernel.order import OrderRecords, PoolChange
from common.kernel.pool import PoolChanges
from common.kernel.refusal import Fault, Refusal
from common.kernel.result import Results
from common.kernel.stop import Stops, stops_of
from common.kernel.task import UNSETTLED, TaskEvent, TaskReason
from common.kernel.task_block import BLOCK_ROWS, TaskBlock, advance
from common.kernel.work_order import LOCAL, WorkOrder, WorkOrderEvent, WorkOrderState
from common.wire import codec
from hq.results import belongs, mirror, settled
from hq.store import feed

_log = logging.getLogger(__name__)


def apply(connection: Connection, province: str, values: Iterable[codec.Outgoing], now: int) -> set[str]:
    """Apply in order; answers the provinces whose control feed grew. A refusal leaves nothing to commit."""
    mirrors = Mirrors(connection, province)
    told: set[str] = set()
    for value in values:
        if isinstance(value, Results):
            mirrors.take(value)
        elif isinstance(value, OrderRecords):
            orders.put_orders(connection, value, now)
        elif isinstance(value, Stops):
            told.update(_stops(connection, province, value, now))
        elif isinstance(value, PoolChanges):
            told.update(_pool(connection, province, value, now))
        elif isinstance(value, WorkOrder):
            _work_order(connection, province, value)
        elif isinstance(value, TaskBlock):
            own_work_order(connection, province, value.work_order)
            ledger.insert_block(connection, value)
        elif isinstance(value, WorkOrderEvent):
            mirrors.save()
            _event(connection, own_work_order(connection, province, value.work_order), value, now)
    mirrors.save()
    return told


def own_work_order(connection: Connection, province: str, name: str) -> WorkOrder:
    """Refused with NOT_YOURS for another's and for one that does not exist, alike."""
    order = ledger.load_work_order(connection, name)
    if order is None or order.node != province:
        raise _not_yours(f"work order {name} is not one of province {province}")
    return order


def _work_order(connection: Connection, province: str, order: WorkOrder) -> None:
    """One of the province's own making; its blocks and results follow."""
    if not order.name.startswith(LOCAL) or not order.name.endswith(f"/{province}") or order.leased:
        raise _not_yours(f"work order {order.name} is not one that province {province} may make")
    ledger.put_work_order(connection, order)


class Mirrors:
    """The blocks that one call reports on, each read and written once."""

    def __init__(self, connection: Connection, province: str) -> None:
        self._connection = connection
        self._province = province
        self._own: set[str] = set()
        self._blocks: dict[tuple[str, int], TaskBlock] = {}

    def take(self, results: Results) -> None:
        name = results.work_order
        if name not in self._own:
            own_work_order(self._connection, self._province, name)
            self._own.add(name)
        numbers = results.tasks // BLOCK_ROWS
        for number in np.unique(numbers).tolist():
            part = results.take(np.flatnonzero(numbers == number))
            self._blocks[name, number] = mirror(self._block(name, number, part), part)

    def save(self) -> None:
        for block in self._blocks.values():
            ledger.save_block(self._connection, block)
        for name in {block.work_order for block in self._blocks.values() if settled(block)}:
            _complete(self._connection, name)
        self._blocks.clear()

    def _block(self, name: str, number: int, part: Results) -> TaskBlock:
        block = self._blocks.get((name, number)) or ledger.load_block(self._connection, name, number)
        if block is None or not belongs(block, part):
            raise _not_yours(f"work order {name} has no such tasks in block {number}")
        return block


def _complete(connection: Connection, name: str) -> None:
    """HQ calls a work order completed when its own ledger says so: the province's word may overtake its results."""
    order = ledger.load_work_order(connection, name)
    counts = ledger.counts(connection, name)
    if order is not None and sum(counts.values()) == order.task_count and not any(counts[s] for s in UNSETTLED):
        ledger.set_state(connection, name, WorkOrderState.COMPLETED)


def _event(connection: Connection, order: WorkOrder, event: WorkOrderEvent, now: int) -> None:
    if event.state == WorkOrderState.COMPLETED:
        _complete(connection, order.name)
    elif event.state == WorkOrderState.ACCEPTED and order.state == WorkOrderState.ISSUED:
        ledger.set_state(connection, order.name, WorkOrderState.ACCEPTED)
    elif event.state == WorkOrderState.REJECTED and order.state != WorkOrderState.REJECTED:
        _log.error("province %s rejected work order %s: %s", order.node, order.name, event.detail)
        _reject(connection, order, now)


def _reject(connection: Connection, order: WorkOrder, now: int) -> None:
    """Nobody will contact these people under this work order: their tasks end here."""
    for block in ledger.blocks(connection, order.name):
        closed, _ = advance(block, np.arange(len(block)), TaskEvent.SUPPRESS, TaskReason.CANCELLED, now)
        ledger.save_block(connection, closed)
    ledger.set_state(connection, order.name, WorkOrderState.REJECTED)


def _stops(connection: Connection, province: str, said: Stops, now: int) -> list[str]:
    """Anyone may stop anyone; a stop is lifted only by the province where the person is at home."""
    allowed = ~said.lifted | _at_home(connection, province, said.keys)
    taken = said.take(np.flatnonzero(allowed))
    stops.put_stops(connection, taken.keys, taken.stopped_at, taken.lifted)
    return feed.put_stops(connection, taken, now, but=province)


def _pool(connection: Connection, province: str, said: PoolChanges, now: int) -> list[str]:
    """Only of people at home there. A number given to somebody new takes the stop of the one before with it."""
    own = said.take(np.flatnonzero(_at_home(connection, province, said.keys)))
    vault.set_active(connection, own.keys, own.changes != PoolChange.LEFT)
    anew = own.take(np.flatnonzero(own.changes == PoolChange.REASSIGNED))
    lifted = stops_of(anew.keys, anew.changed_at, np.ones(len(anew), dtype=np.bool_))
    return _stops(connection, province, lifted, now) if len(anew) else []


def _at_home(connection: Connection, province: str, keys: Keys) -> Mask:
    found: Mask = vault.provinces_of(connection, keys) == int(province)
    return found


def _not_yours(message: str) -> Refusal:
    return Refusal(Fault.FORBIDDEN, "NOT_YOURS", f"{message}; report only on work orders issued to you")
