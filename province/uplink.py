"""What this province tells HQ: outbox entries, appended in the transaction of the change they tell.

Ring the bell for ("hq", stream) after the commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from sqlalchemy import Connection, false, select

from common.courier import log
from common.delivery import decisions, ledger, order_pages
from common.delivery.consents import all_consents
from common.delivery.erasures import all_erasures
from common.delivery.stops import all_stops
from common.delivery.tables import policy, trigger_document, vault
from common.kernel.columns import Rows
from common.kernel.consent import Consents
from common.kernel.decision import Decision
from common.kernel.erasure import Erasures
from common.kernel.incarnation import Retold
from common.kernel.order import OrderRecords, PoolChange
from common.kernel.policy import PolicyEvent
from common.kernel.pool import PoolChanges
from common.kernel.result import results_of
from common.kernel.stop import Stops
from common.kernel.task_block import BLOCK_ROWS, TaskBlock, reopened, unsettled
from common.kernel.trigger_version import TriggerEvent
from common.kernel.work_order import WorkOrder, WorkOrderEvent, WorkOrderState
from common.runtime.clock import Clock
from common.wire import codec
from common.wire.streams import HQ
from province.store import commands

T = TypeVar("T", Stops, OrderRecords, PoolChanges, Consents, Erasures)
CONSENT_ROWS = 1_000
"""In an entry: each row has a text, where the evidence is kept."""

_JUDGED = select(policy.c.version, policy.c.objection).order_by(policy.c.version)
_JUDGED_TRIGGERS = select(trigger_document.c.name, trigger_document.c.version, trigger_document.c.objection).order_by(
    trigger_document.c.version
)
TOLD_STATES = (WorkOrderState.ACCEPTED, WorkOrderState.REJECTED, WorkOrderState.COMPLETED)


def append_results(connection: Connection, block: TaskBlock, rows: Rows, now: int) -> None:
    if len(rows):
        log.append(connection, HQ, "results", [codec.outbox_entry(results_of(block, rows))], now)


def append_work_order(connection: Connection, order: WorkOrder, now: int) -> None:
    """One of the province's own making, or one that HQ forgot; its blocks come after it."""
    log.append(connection, HQ, "results", [codec.outbox_entry(order)], now)


def append_block(connection: Connection, block: TaskBlock, now: int) -> None:
    """With all its tasks open: what became of them comes after it, as decisions and results."""
    log.append(connection, HQ, "results", [codec.outbox_entry(reopened(block))], now)


def append_asked(connection: Connection, order: WorkOrder, blocks: Sequence[TaskBlock], now: int) -> None:
    """A work order of the province's own making with all its blocks, every task open."""
    entries = [codec.outbox_entry(order), *(codec.outbox_entry(reopened(block)) for block in blocks)]
    log.append(connection, HQ, "results", entries, now)


def append_decision(connection: Connection, decision: Decision, now: int) -> None:
    if len(decision.rows):
        log.append(connection, HQ, "results", [codec.outbox_entry(decision)], now)


def append_policy_event(connection: Connection, event: PolicyEvent, now: int) -> None:
    log.append(connection, HQ, "control", [codec.outbox_entry(event)], now)


def append_trigger_event(connection: Connection, event: TriggerEvent, now: int) -> None:
    log.append(connection, HQ, "control", [codec.outbox_entry(event)], now)


def append_stops(connection: Connection, stops: Stops, now: int) -> None:
    log.append(connection, HQ, "control", [codec.outbox_entry(part) for part in _parts(stops)], now)


def append_consents(connection: Connection, consents: Consents, now: int) -> None:
    log.append(connection, HQ, "control", [codec.outbox_entry(part) for part in _parts(consents, CONSENT_ROWS)], now)


def append_erasures(connection: Connection, erasures: Erasures, now: int) -> None:
    log.append(connection, HQ, "control", [codec.outbox_entry(part) for part in _parts(erasures)], now)


def append_orders(connection: Connection, records: OrderRecords, now: int) -> None:
    log.append(connection, HQ, "orders", [codec.outbox_entry(part) for part in _parts(records)], now)


def append_pool(connection: Connection, changes: PoolChanges, now: int) -> None:
    log.append(connection, HQ, "pool", [codec.outbox_entry(part) for part in _parts(changes)], now)


def append_retold(connection: Connection, retold: Retold, now: int) -> None:
    log.append(connection, HQ, "results", [codec.outbox_entry(retold)], now)


def append_work_order_event(connection: Connection, event: WorkOrderEvent, now: int) -> None:
    log.append(connection, HQ, "control", [codec.outbox_entry(event)], now)


class HqOutlet:
    """Delivery's outlet in a province: what is final goes to HQ."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def decided(self, connection: Connection, decision: Decision) -> None:
        append_decision(connection, decision, self._clock.now())

    def settled(self, connection: Connection, block: TaskBlock, rows: Rows) -> None:
        append_results(connection, block, rows, self._clock.now())

    def stopped(self, connection: Connection, stops: Stops) -> None:
        append_stops(connection, stops, self._clock.now())

    def finished(self, connection: Connection, work_order: WorkOrder) -> None:
        if work_order.leased:  # of the province's own HQ learns by its results, which may come later than this would
            append_work_order_event(
                connection, WorkOrderEvent(work_order.name, WorkOrderState.COMPLETED), self._clock.now()
            )


def append_everything(connection: Connection, stream: str, now: int, *, forgot: bool = False) -> None:
    """All this node knows that HQ should, once more: for when either side came back from a backup.

    Of an HQ that `forgot` not even the work orders it issued are presumed known.
    """
    if stream == "results":
        _all_results(connection, now, forgot)
    else:
        {"control": _all_control, "orders": _all_orders, "pool": _all_pool}[stream](connection, now)


def append_held(connection: Connection, now: int) -> None:
    """What this node holds of HQ's work orders: of those that are over HQ tells what this node lacks."""
    for order in ledger.work_orders(connection):
        if order.leased:
            append_work_order(connection, _commanded(connection, order), now)


def _all_control(connection: Connection, now: int) -> None:
    for row in connection.execute(_JUDGED):
        append_policy_event(connection, PolicyEvent(*row), now)
    for judged in connection.execute(_JUDGED_TRIGGERS):
        append_trigger_event(connection, TriggerEvent(*judged), now)
    append_stops(connection, all_stops(connection), now)
    append_consents(connection, all_consents(connection), now)
    append_erasures(connection, all_erasures(connection), now)
    for order in filter(lambda each: each.leased, ledger.work_orders(connection, states=TOLD_STATES)):
        append_work_order_event(connection, WorkOrderEvent(order.name, order.state), now)


def _all_results(connection: Connection, now: int, forgot: bool) -> None:
    if forgot:
        # By which policies this node decides HQ must know before it hears, on this stream, that it knows everything.
        for row in connection.execute(_JUDGED):
            log.append(connection, HQ, "results", [codec.outbox_entry(PolicyEvent(*row))], now)
    for order in ledger.work_orders(connection):
        unknown = forgot or not order.leased
        if unknown:
            append_work_order(connection, _commanded(connection, order), now)
        for block in ledger.blocks(connection, order.name):
            if unknown:
                append_block(connection, block, now)
            for decision in decisions.of_block(connection, order.name, block.number):
                append_decision(connection, decision, now)
            append_results(connection, block, np.flatnonzero(~unsettled(block) | (block.responses > 0)), now)


def _commanded(connection: Connection, order: WorkOrder) -> WorkOrder:
    """With what HQ said of it while its tasks were on their way."""
    said = commands.held(connection, order.name)
    return replace(order, state=said.state, version=said.version) if said else order


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


def _parts(columns: T, rows: int = BLOCK_ROWS) -> Iterator[T]:
    for start in range(0, len(columns), rows):
        yield columns.take(np.arange(start, min(start + rows, len(columns))))
