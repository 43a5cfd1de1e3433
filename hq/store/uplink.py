"""Applies what a province reports, by business key: applying it again changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from common.delivery import consents, decisions, erasures, fence, forgetting, ledger, orders, stops, vault
from common.kernel.columns import Keys, Mask
from common.kernel.consent import Consents
from common.kernel.decision import Decision
from common.kernel.erasure import Erasures, erasures_of
from common.kernel.incarnation import FIRST, UNDATED, Retold
from common.kernel.order import OrderRecords, PoolChange
from common.kernel.policy import PolicyEvent
from common.kernel.pool import PoolChanges
from common.kernel.result import Results
from common.kernel.stop import Stops
from common.kernel.task import UNSETTLED, TaskEvent, TaskReason
from common.kernel.task_block import BLOCK_ROWS, TaskBlock, advance
from common.kernel.trigger_version import TriggerEvent
from common.kernel.work_order import WorkOrder, WorkOrderEvent, WorkOrderState
from common.wire import codec
from hq.results import belongs, mirror, settled
from hq.store import feed, policies, provinces, retelling, sources, triggers
from hq.store.retelling import not_yours, own_work_order

Told = Stops | Consents | Erasures | PoolChanges | PolicyEvent | TriggerEvent
"""What belongs to no work order."""

_log = logging.getLogger(__name__)


def apply(
    connection: Connection, province: str, values: Iterable[codec.Outgoing], now: int, trusted: bool = True
) -> set[str]:
    """Apply in order; answers the provinces whose control feed grew. A refusal leaves nothing to commit.

    While HQ, back from a backup, has yet to be told everything by this province, what it says of work orders that HQ
    does not know is passed over: the work orders come, and after them the same again.
    """
    forgot = retelling.forgot(connection, province)
    mirrors = Mirrors(connection)
    told: set[str] = set()
    for value in values:
        if isinstance(value, OrderRecords):
            sources.claim(connection, province, value.source_systems)
            orders.put_orders(connection, value, now)
        elif isinstance(value, Told):
            told.update(_told(connection, province, value, now, trusted))
        elif isinstance(value, WorkOrder):
            retelling.take_work_order(connection, province, value, forgot, now)
        elif isinstance(value, Results | Decision | TaskBlock | WorkOrderEvent):
            if not forgot or retelling.known(connection, province, value.work_order):
                _of_work_order(connection, province, value, mirrors, forgot, now)
        elif isinstance(value, Retold):
            provinces.retold(connection, province, value.incarnation)
    mirrors.save()
    return told


def _of_work_order(
    connection: Connection,
    province: str,
    value: Results | Decision | TaskBlock | WorkOrderEvent,
    mirrors: Mirrors,
    forgot: bool,
    now: int,
) -> None:
    order = own_work_order(connection, province, value.work_order)
    if isinstance(value, Results):
        mirrors.take(value, forgot)
    elif isinstance(value, Decision):
        _decision(connection, order, value)
    elif isinstance(value, TaskBlock):
        retelling.take_block(connection, order, value, forgot)
    else:
        mirrors.save()
        _event(connection, own_work_order(connection, province, value.work_order), value, now)


def _told(connection: Connection, province: str, value: Told, now: int, trusted: bool) -> list[str]:
    """The provinces whose control feed grew."""
    if isinstance(value, PoolChanges):
        return _pool(connection, province, value, now)
    if isinstance(value, PolicyEvent):
        policies.heard(connection, province, value, now if trusted else UNDATED)
        return []
    if isinstance(value, TriggerEvent):
        triggers.heard(connection, province, value)
        return []
    return feed.tell(connection, _taken(connection, province, value, now), now, but=province)


def _decision(connection: Connection, order: WorkOrder, made: Decision) -> None:
    """What HQ leased, HQ itself decided to issue."""
    if made.stage not in (("claim",) if order.leased else ("local", "claim")):
        raise not_yours(f"province {order.node} decides no {made.stage} of {order.name}")
    decisions.put(connection, made)


class Mirrors:
    """The blocks that one call reports on, each read and written once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._restored = fence.load(connection).number > FIRST
        self._blocks: dict[tuple[str, int], TaskBlock] = {}

    def take(self, results: Results, forgot: bool) -> None:
        """A block that HQ `forgot` is passed over."""
        name, numbers = results.work_order, results.tasks // BLOCK_ROWS
        for number in np.unique(numbers).tolist():
            part = results.take(np.flatnonzero(numbers == number))
            block = self._blocks.get((name, number)) or ledger.load_block(self._connection, name, number)
            if block is None and forgot:
                continue
            if block is None or not belongs(block, part):
                raise not_yours(f"work order {name} has no such tasks in block {number}")
            self._blocks[name, number] = mirror(block, part, restored=self._restored)

    def save(self) -> None:
        for block in self._blocks.values():
            ledger.save_block(self._connection, block)
        for name in {block.work_order for block in self._blocks.values() if settled(block)}:
            _complete(self._connection, name)
        self._blocks.clear()


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


def _taken(connection: Connection, province: str, said: feed.People, now: int) -> feed.People:
    """Anyone may stop anyone and take a consent back; the rest is believed of the province where the person is at home.

    Answers what others are to be told.
    """
    if isinstance(said, Stops):
        taken = said.take(np.flatnonzero(~said.lifted | _at_home(connection, province, said.keys)))
        return taken.take(stops.put_stops(connection, taken, now))
    if isinstance(said, Consents):
        agreed = said.take(np.flatnonzero(said.withdrawn | ~_at_home_elsewhere(connection, province, said.keys)))
        return agreed.take(consents.put_consents(connection, agreed, now))
    at_home, elsewhere = (each(connection, province, said.keys) for each in (_at_home, _at_home_elsewhere))
    return forgetting.take(connection, said.take(np.flatnonzero(at_home | ~(said.lifted | elsewhere))))


def _pool(connection: Connection, province: str, said: PoolChanges, now: int) -> list[str]:
    """Only of people at home there. To somebody who was given a number, nothing said before applies."""
    own = said.take(np.flatnonzero(_at_home(connection, province, said.keys)))
    vault.set_active(connection, own.keys, own.changes != PoolChange.LEFT)
    anew = own.take(np.flatnonzero(own.changes == PoolChange.REASSIGNED))
    news = forgetting.take(connection, erasures_of(anew.keys, anew.changed_at, lifted=True))
    return feed.tell(connection, news, now, but=province)


def _at_home(connection: Connection, province: str, keys: Keys) -> Mask:
    found: Mask = _homes(connection, keys) == int(province)
    return found


def _at_home_elsewhere(connection: Connection, province: str, keys: Keys) -> Mask:
    """Of whom nobody has told HQ yet, the province may."""
    found: Mask = ~np.isin(_homes(connection, keys), (0, int(province)))
    return found


def _homes(connection: Connection, keys: Keys) -> NDArray[np.int64]:
    """Where they live, or lived when they were erased."""
    homes = vault.provinces_of(connection, keys)
    unknown = homes == 0
    homes[unknown] = erasures.homes_of(connection, keys[unknown])
    return homes
