"""Work orders of a campaign: issued and commanded, each change in one transaction with its feed entries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from sqlalchemy import Connection

from common.delivery import fence, ledger, policies
from common.delivery.orders import owners_between
from common.kernel.columns import Keys, in_sorted
from common.kernel.incarnation import may_have_sent
from common.kernel.task import TaskEvent, TaskReason
from common.kernel.task_block import TaskBlock, advance
from common.kernel.work_order import HQ_NODE, MOVES, WorkOrder, WorkOrderCommand, WorkOrderState, command
from hq.campaigns import Campaign, CampaignState, Step
from hq.store import campaigns, coordination, feed, leases, provinces
from hq.store.campaigns import StoredCampaign, WaveState
from hq.work_orders import chosen

COMMANDS = {
    Step.PAUSE: WorkOrderState.PAUSED,
    Step.RESUME: WorkOrderState.ACCEPTED,
    Step.CANCEL: WorkOrderState.CANCELLED,
}


def chosen_keys(connection: Connection, campaign: Campaign, number: int, now: int) -> Keys:
    """Whom wave `number` takes of the wave before, as HQ's ledger stands, ascending."""
    wave = campaign.waves[number - 1]
    found = [np.zeros(0, dtype=np.int64)]
    for order in _of_wave(connection, campaign.name, number - 1):
        for block in ledger.blocks(connection, order.name):
            owners = owners_between(connection, order.offer, int(block.keys[0]), int(block.keys[-1]))
            ordered = in_sorted(block.keys, owners)
            found.append(chosen(wave, block, ordered, now, campaign.respond_seconds))
    return np.sort(np.concatenate(found))


def record_selection(connection: Connection, name: str, number: int, selection: str) -> bool:
    """Record a frozen selection. False, changing nothing, where the campaign is not running any more."""
    if campaigns.get(connection, name).state is not CampaignState.APPROVED:
        return False
    campaigns.select_wave(connection, name, number, selection)
    return True


def begin_cut(connection: Connection, name: str, number: int, orders: Iterable[WorkOrder], now: int) -> bool:
    """Issue the wave's work orders, all at once; their blocks follow.

    False, changing nothing, where the campaign is paused or over. Once begun, a wave is cut to its end whatever
    becomes of the campaign: then everyone chosen has a task, and pausing or cancelling reaches all of them alike.
    """
    known = {order.name for order in _of_wave(connection, name, number)}
    if not known and campaigns.get(connection, name).state is not CampaignState.APPROVED:
        return False
    version = policies.in_force(connection).version
    # Of a wave that HQ forgot in a restore, provinces may have told some work orders, and only those.
    for planned in (order for order in orders if order.name not in known):
        order = replace(planned, policy_version=version, incarnation=_holder(connection, planned))
        ledger.put_work_order(connection, order)
        if order.node != HQ_NODE:
            feed.put(connection, order.node, [order], now)
    return True


def cut(connection: Connection, order: WorkOrder, blocks: Iterable[TaskBlock], now: int) -> None:
    """Issue blocks of a work order, spending HQ's contacts; one that was issued before is passed over.

    So is all of one that has another number of tasks than HQ would issue now: an HQ that was lost cut it from another
    selection, or it ended half cut. Where the province has rejected the work order meanwhile, nobody will contact these
    people: their tasks end here.

    Raises Refusal RESTORE_FENCED or CLOCK_DISAGREES where nothing may be leased to the node now.
    """
    known = ledger.load_work_order(connection, order.name) or order
    new = [block for block in blocks if not ledger.has_block(connection, block.work_order, block.number)]
    if not new or known.task_count != order.task_count:
        return
    new = _issued(connection, known, new, now)
    for block in new:
        ledger.insert_block(connection, block)
    if order.node != HQ_NODE and known.state is not WorkOrderState.REJECTED:
        fence.raise_mark(connection)
        feed.put(connection, order.node, new, now)


def _holder(connection: Connection, order: WorkOrder) -> int:
    """The incarnation a work order is issued to; none where an HQ that was lost may have issued it already."""
    own = fence.load(connection)
    if order.start_at <= own.fenced_at:
        return 0
    return own.number if order.node == HQ_NODE else provinces.incarnation(connection, order.node)


def _issued(connection: Connection, order: WorkOrder, blocks: list[TaskBlock], now: int) -> list[TaskBlock]:
    if order.state is WorkOrderState.REJECTED:
        return [_closed(block, now) for block in blocks]
    if _may_have_sent(connection, order):
        return [fence.given_up(block, now, order.end_at)[0] for block in blocks]
    if now < order.end_at:
        leases.check(connection, order.node, now)
    return coordination.allow(connection, order, blocks, now)


def _may_have_sent(connection: Connection, order: WorkOrder) -> bool:
    """Whether a lost HQ may have issued this very block, to a node that has forgotten it since."""
    own = fence.load(connection)
    if order.node == HQ_NODE:
        return may_have_sent(own.number, order.incarnation)
    issued_before = order.start_at <= own.fenced_at
    return issued_before and may_have_sent(provinces.incarnation(connection, order.node), order.incarnation)


def _closed(block: TaskBlock, now: int) -> TaskBlock:
    return advance(block, np.arange(len(block)), TaskEvent.SUPPRESS, TaskReason.CANCELLED, now)[0]


def end_cut(connection: Connection, name: str, number: int) -> None:
    campaigns.end_wave(connection, name, number)


def step(connection: Connection, name: str, taken: Step, now: int) -> tuple[StoredCampaign, list[str]]:
    """Pause, resume or cancel a campaign with all its work orders.

    Answers the campaign and the provinces whose control feed grew.
    """
    stored, changed = campaigns.move(connection, name, taken)
    orders = ledger.work_orders(connection, campaign=name) if changed else []
    told = [order.node for order in orders if _command(connection, order, COMMANDS[taken], now)]
    return stored, sorted(set(told) - {HQ_NODE})


def finish(connection: Connection, name: str) -> bool:
    """Finish the campaign if every wave is cut and every work order has ended."""
    cut_all = all(wave.state is WaveState.CUT for wave in campaigns.waves(connection, name))
    ended = cut_all and all(not MOVES[order.state] for order in ledger.work_orders(connection, campaign=name))
    return ended and campaigns.move(connection, name, Step.FINISH)[1]


def _of_wave(connection: Connection, name: str, number: int) -> list[WorkOrder]:
    return [order for order in ledger.work_orders(connection, campaign=name) if order.wave == number]


def _command(connection: Connection, order: WorkOrder, to: WorkOrderState, now: int) -> bool:
    if to not in MOVES[order.state]:
        return False
    commanded = command(order, to, order.version + 1)
    ledger.put_work_order(connection, commanded)
    if order.node != HQ_NODE:
        feed.put(connection, order.node, [WorkOrderCommand(order.name, to, commanded.version)], now)
    return True
