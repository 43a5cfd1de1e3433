"""What a province tells of work orders HQ does not know: of the province's own making, or forgotten in a restore.

What HQ forgot in the middle of cutting it, it cuts on where it knows the campaign, or is asked for it once more; what
is still not whole when its validity is over, ends with the tasks there are.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from common.delivery import fence, ledger
from common.kernel.incarnation import FIRST
from common.kernel.refusal import Fault, Refusal
from common.kernel.task_block import TaskBlock
from common.kernel.work_order import HQ_NODE, LOCAL, WorkOrder, WorkOrderState, command
from hq.store import campaigns, feed, leases, provinces


def forgot(connection: Connection, province: str) -> bool:
    """Whether this HQ came back from a backup and the province has yet to tell it everything."""
    return not provinces.has_retold(connection, province, fence.load(connection).number)


def known(connection: Connection, province: str, name: str) -> bool:
    """Whether HQ has it as one of this province's: another's is as good as none."""
    order = ledger.load_work_order(connection, name)
    return order is not None and order.node == province


def own_work_order(connection: Connection, province: str, name: str) -> WorkOrder:
    """Refused with NOT_YOURS for another's and for one that does not exist, alike."""
    order = ledger.load_work_order(connection, name)
    if order is None or order.node != province:
        raise not_yours(f"work order {name} is not one of province {province}")
    return order


def take_work_order(connection: Connection, province: str, told: WorkOrder, forgot: bool, now: int) -> None:
    """Its blocks and results follow. One that HQ issued and knows only gets a newer state.

    A province that came back from a backup may be behind with one that is over: it hears how that ended.
    """
    order = ledger.load_work_order(connection, told.name)
    its_own = told.name.startswith(LOCAL) and not told.leased
    allowed = its_own or order is not None or (forgot and told.leased)
    if not allowed or not told.name.endswith(f"/{province}"):
        raise not_yours(f"work order {told.name} is not one that province {province} may make")
    if its_own or order is None:
        ledger.put_work_order(connection, _as_issued(_running(told)))
    elif told.version > order.version:
        ledger.set_state(connection, told.name, _running(told).state, told.version)
    elif order.state is WorkOrderState.COMPLETED:
        _tell_end(connection, order, told, now)


def _tell_end(connection: Connection, order: WorkOrder, told: WorkOrder, now: int) -> None:
    waits = told.state is WorkOrderState.ISSUED
    if waits or told.version < order.version:
        feed.put(connection, order.node, [order], now)
    for block in ledger.blocks(connection, order.name) if waits else ():
        feed.put(connection, order.node, [block], now)


def take_block(connection: Connection, order: WorkOrder, block: TaskBlock, forgot: bool) -> None:
    """What HQ leased it cut itself, so it takes no block of it from elsewhere unless it may have forgotten it."""
    if ledger.has_block(connection, block.work_order, block.number):
        return
    too_many = ledger.received(connection, order.name) + len(block) > order.task_count
    if too_many or (order.leased and not forgot):
        raise not_yours(f"block {block.number} of work order {order.name} is not one that HQ issued")
    ledger.insert_block(connection, block)


def _as_issued(order: WorkOrder) -> WorkOrder:
    """While its tasks are on their way a province holds a work order one version back."""
    return replace(order, version=order.version + 1) if order.state is WorkOrderState.ISSUED else order


def half_cut(connection: Connection, now: int) -> list[WorkOrder]:
    """Work orders that will never be whole: their validity is over, and HQ, restored in between, has nothing to cut."""
    if fence.load(connection).number == FIRST or leases.fenced(connection, now):
        return []
    going = ledger.work_orders(connection, states=[state for state in WorkOrderState if state not in feed.FINISHED])
    over = [each for each in going if each.node != HQ_NODE and each.leased and each.end_at <= now]
    lacking = [each for each in over if ledger.received(connection, each.name) < each.task_count]
    uncut = campaigns.uncut_waves(connection) if lacking else set()
    return [each for each in lacking if (each.campaign, each.wave) not in uncut]


def end_half_cut(connection: Connection, now: int) -> set[str]:
    """Each has as many tasks as there are, and is cancelled; answers the provinces that are told so."""
    ended = half_cut(connection, now)
    for order in ended:
        closed = command(order, WorkOrderState.CANCELLED, order.version + 1)
        closed = replace(closed, task_count=ledger.received(connection, order.name))
        ledger.put_work_order(connection, closed)
        feed.put(connection, order.node, [closed], now)
    return {order.node for order in ended}


def not_yours(message: str) -> Refusal:
    return Refusal(Fault.FORBIDDEN, "NOT_YOURS", f"{message}; report only on work orders issued to you")


def _running(order: WorkOrder) -> WorkOrder:
    """HQ calls a work order completed when its own ledger says so."""
    return replace(order, state=WorkOrderState.ACCEPTED) if order.state is WorkOrderState.COMPLETED else order
