"""What HQ's feed does here. Applying an entry again changes nothing, so a snapshot may repeat what is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
from sqlalchemy import Connection

from common.delivery import consents, fence, forgetting, host_lists, ledger, orders, stops
from common.kernel.channel import Channel, Level
from common.kernel.consent import Consents
from common.kernel.erasure import Erasures
from common.kernel.host_list import HostPart
from common.kernel.incarnation import may_have_sent
from common.kernel.order import OrderRecords
from common.kernel.policy import PolicyDocument
from common.kernel.stop import Stops
from common.kernel.task import CONTACTED, REPORT_EVENT, STATE_CODES, TAKEN_IN_VAIN, TERMINAL, TaskState
from common.kernel.task_block import TaskBlock, advance, reopened
from common.kernel.trigger_version import TriggerVersion
from common.kernel.work_order import MOVES, WorkOrder, WorkOrderCommand, WorkOrderEvent, WorkOrderState, command
from common.wire.codec import Incoming
from province import policies, trigger_documents
from province.store import commands
from province.uplink import append_results, append_work_order_event

COMMANDED = (WorkOrderState.ACCEPTED, WorkOrderState.PAUSED, WorkOrderState.CANCELLED)


class Inbox:
    """`channels` are those this province may be asked to use, by name; `trusted`, whether the clock tells the time."""

    def __init__(self, channels: Mapping[str, Channel], trusted: Callable[[], bool] = lambda: True) -> None:
        self._channels = channels
        self._trusted = trusted

    def apply(self, connection: Connection, values: Iterable[Incoming], now: int) -> None:
        """Apply in order. May append to the outbox's control stream."""
        touched: dict[str, None] = {}
        for value in values:
            if isinstance(value, WorkOrder):
                self._work_order(connection, value, now)
                touched[value.name] = None
            elif isinstance(value, TaskBlock):
                _task_block(connection, value, now, self._trusted())
                touched[value.work_order] = None
            elif isinstance(value, WorkOrderCommand):
                _command(connection, value)
            elif isinstance(value, Stops | Consents | Erasures):
                _said(connection, value, now)
            elif isinstance(value, OrderRecords):
                orders.put_orders(connection, value, now)
            elif isinstance(value, PolicyDocument):
                policies.take(connection, value, now)
            elif isinstance(value, TriggerVersion | HostPart):
                _triggers(connection, value, now)
        for name in touched:
            _accept_if_whole(connection, name, now)

    def _work_order(self, connection: Connection, order: WorkOrder, now: int) -> None:
        known = ledger.load_work_order(connection, order.name)
        if known is None:
            self._new_work_order(connection, order, now)
        elif known.state is WorkOrderState.ISSUED:
            ledger.put_work_order(connection, _on_its_way(order))
        elif order.state is WorkOrderState.COMPLETED:
            # Here it ends when its tasks have ended here: only what HQ said last is news.
            _command(connection, WorkOrderCommand(order.name, known.state, order.version))
        if order.state in COMMANDED:
            _command(connection, WorkOrderCommand(order.name, order.state, order.version))

    def _new_work_order(self, connection: Connection, order: WorkOrder, now: int) -> None:
        """It waits as ISSUED, whatever HQ has made of it since, until all its tasks are here."""
        objection = self._objection(order)
        if objection:
            ledger.put_work_order(connection, replace(order, state=WorkOrderState.REJECTED))
            rejected = WorkOrderEvent(order.name, WorkOrderState.REJECTED, objection)
            append_work_order_event(connection, rejected, now)
        else:
            ledger.put_work_order(connection, _on_its_way(order))

    def _objection(self, order: WorkOrder) -> str:
        channel = self._channels.get(order.channel)
        if channel is None:
            return f"channel {order.channel} is not known in this province, which has {', '.join(self._channels)}"
        if channel.level is not Level.TWO:
            return f"channel {order.channel} is level one: HQ runs it itself"
        return ""


def _on_its_way(order: WorkOrder) -> WorkOrder:
    """One version back, so that the state HQ sent along counts as a command that is news here."""
    return replace(order, state=WorkOrderState.ISSUED, version=order.version - 1)


def _said(connection: Connection, value: Stops | Consents | Erasures, now: int) -> None:
    if isinstance(value, Stops):
        stops.put_stops(connection, value, now)
    elif isinstance(value, Consents):
        consents.put_consents(connection, value, now)
    else:
        forgetting.take(connection, value)


def _triggers(connection: Connection, value: TriggerVersion | HostPart, now: int) -> None:
    if isinstance(value, HostPart):
        host_lists.keep(connection, value, now)
    else:
        trigger_documents.take(connection, value, now)


def told(block: TaskBlock, states: TaskBlock, now: int) -> TaskBlock:
    """`block` with the ends that HQ has seen its tasks reach, as in `states`.

    When they were submitted is not told, so they are dated now: the contact cap errs on the careful side.
    """
    rows = np.flatnonzero(states.states >= min(TERMINAL))
    known, changed = advance(block, rows, _EVENT[states.states[rows]], states.reasons[rows], now)
    taken = np.isin(known.states, CONTACTED) | np.isin(known.reasons, TAKEN_IN_VAIN)
    submitted = known.submitted_at.copy()
    submitted[changed[taken[changed] & (submitted[changed] == 0)]] = now
    return replace(known, submitted_at=submitted)


_EVENT = np.zeros(STATE_CODES, dtype=np.uint8)
for _state, _event in REPORT_EVENT.items():
    _EVENT[_state] = _event


def _task_block(connection: Connection, block: TaskBlock, now: int, trusted: bool) -> None:
    """Where `now` is not to be trusted, contacts are of the last moment at which their work order let any be made."""
    order = ledger.load_work_order(connection, block.work_order)
    if order is not None and order.state == WorkOrderState.REJECTED:
        return
    moment = now if trusted or order is None else order.end_at
    known = ledger.load_block(connection, block.work_order, block.number)
    if known is not None:
        if (block.states != TaskState.OPEN).any():
            ledger.save_block(connection, told(known, block, moment))
        return
    new, lost = told(reopened(block), block, moment), np.zeros(0, dtype=np.intp)
    if order is not None and may_have_sent(fence.load(connection).number, order.incarnation):
        new, lost = fence.given_up(new, moment, order.end_at)
    ledger.insert_block(connection, new)
    append_results(connection, new, lost, now)


def _command(connection: Connection, said: WorkOrderCommand) -> None:
    order = ledger.load_work_order(connection, said.work_order)
    if order is None or order.state == WorkOrderState.ISSUED:
        commands.hold(connection, said)
    else:
        obeyed = command(order, said.state, said.version)
        ledger.set_state(connection, order.name, obeyed.state, obeyed.version)


def _accept_if_whole(connection: Connection, name: str, now: int) -> None:
    order = ledger.load_work_order(connection, name)
    if order is None or order.state != WorkOrderState.ISSUED or ledger.received(connection, name) < order.task_count:
        return
    append_work_order_event(connection, WorkOrderEvent(name, WorkOrderState.ACCEPTED), now)
    held = commands.held(connection, name)
    commands.drop(connection, name)
    state, version = WorkOrderState.ACCEPTED, order.version + 1
    if held is not None and held.version >= version:
        state = held.state if held.state in MOVES[state] else state
        version = held.version
    ledger.set_state(connection, name, state, version)
