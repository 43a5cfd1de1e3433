"""Who of a block is contacted now: decided and booked as spent in one transaction, before anything is sent."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from common.delivery import decisions, facts, ledger, policies, settle
from common.delivery.outlet import Outlet
from common.kernel.channel import Channel, VendorTerms
from common.kernel.columns import Rows
from common.kernel.contact_rules import AT_CLAIM, Considered, reasons
from common.kernel.policy import SUBMIT_SECONDS, Policy, quiet_until
from common.kernel.refusal import missing
from common.kernel.task import TaskEvent, TaskReason, TaskState
from common.kernel.task_block import TaskBlock, advance
from common.kernel.work_order import WorkOrder, WorkOrderState


@dataclass(frozen=True, slots=True)
class Claimed:
    """`rows` of `block` are booked and to be sent before `submit_by`; `msisdns` are their numbers."""

    work_order: WorkOrder
    block: TaskBlock
    rows: Rows
    msisdns: NDArray[np.int64]
    submit_by: int
    policy: Policy
    resent: bool = False
    """The vendor may have these already and must recognise them by their ids."""


def claim(
    connection: Connection,
    work_order: WorkOrder,
    number: int,
    now: int,
    channel: Channel,
    limit: int,
    outlet: Outlet,
) -> Claimed:
    """Suppress whom a rule forbids among the open rows of a block, and book up to `limit` of the others.

    Works on the stored state of the work order: of one that is over or cancelled the open rows end, and of one that
    may not run now (paused, not started, quiet hours) nothing changes.
    """
    order, block = _load(connection, work_order, number)
    policy = policies.in_force(connection)
    rows = np.flatnonzero(block.states == TaskState.OPEN)
    nobody = Claimed(order, block, rows[:0], rows[:0], _submit_by(order, now), policy)
    over = ending(order, now)
    if over is not None:
        block, ended = advance(block, rows, *over, now)
        settle.save(connection, block, ended, outlet)
        return nobody
    if not runs(order, channel, policy, now) or len(rows) == 0:
        return nobody
    msisdns, considered = _consider(connection, order, block, rows, policy, now)
    decisions.record(connection, order.name, number, "claim", rows, considered, limit)
    why = reasons(AT_CLAIM, considered)
    block, suppressed = advance(block, rows[why > 0], TaskEvent.SUPPRESS, why[why > 0], now)
    allowed = np.flatnonzero(why == TaskReason.NONE)[:limit]
    block, booked = advance(block, rows[allowed], TaskEvent.BOOK, TaskReason.NONE, now)
    settle.save(connection, block, np.concatenate([suppressed, booked]), outlet)
    return Claimed(order, block, booked, msisdns[allowed], _submit_by(order, now), policy)


def reclaim(
    connection: Connection,
    work_order: WorkOrder,
    number: int,
    now: int,
    channel: Channel,
    terms: VendorTerms,
    outlet: Outlet,
) -> Claimed:
    """Sort out the rows a vendor never answered for; nothing of them may be in flight.

    Those the vendor still recognises are to be sent again under the same ids while their booking still covers the
    contact; where a rule forbids that by now, a receipt may yet tell. The others can never be known.
    """
    order, block = _load(connection, work_order, number)
    policy = policies.in_force(connection)
    rows = np.flatnonzero(block.states == TaskState.SUBMITTING)
    nobody = Claimed(order, block, rows[:0], rows[:0], _submit_by(order, now), policy)
    if len(rows) == 0 or not runs(order, channel, policy, now):
        return nobody
    msisdns, considered = _consider(connection, order, block, rows, policy, now)
    # An unanswered booking counts against the budget until its work order ends, so only the vendor's memory limits it.
    covered = block.submitted_at[rows].astype(np.int64) + terms.dedupe_seconds - SUBMIT_SECONDS > now
    again = covered & (reasons(AT_CLAIM, considered) == TaskReason.NONE)
    block, lost = advance(block, rows[~covered], TaskEvent.LOSE, TaskReason.NO_ANSWER, now)
    # Often the rule that forbids it is the answer to this very message.
    block, awaited = advance(block, rows[covered & ~again], TaskEvent.ACCEPT, TaskReason.NONE, now)
    settle.save(connection, block, np.concatenate([lost, awaited]), outlet)
    return Claimed(order, block, rows[again], msisdns[again], _submit_by(order, now), policy, resent=True)


def take(
    connection: Connection,
    node: str,
    channel: Channel,
    terms: VendorTerms,
    now: int,
    limit: int,
    busy: Collection[tuple[str, int]],
    outlet: Outlet,
) -> Claimed | None:
    """Claim the block whose turn it is, or answer None where nothing can be done now.

    Work orders go by priority, then start, then name; in each, unanswered messages go before new ones. Blocks in
    `busy` are passed over.
    """
    for order in _due(connection, node, channel, now):
        for number in _free(connection, order, TaskState.SUBMITTING, busy):
            return reclaim(connection, order, number, now, channel, terms, outlet)
        for number in _free(connection, order, TaskState.OPEN, busy):
            return claim(connection, order, number, now, channel, limit, outlet)
    return None


def ending(order: WorkOrder, now: int) -> tuple[TaskEvent, TaskReason] | None:
    """What becomes of tasks still open, where the work order can submit nothing any more."""
    if order.state is WorkOrderState.CANCELLED:
        return TaskEvent.SUPPRESS, TaskReason.CANCELLED
    if now >= order.end_at:
        return TaskEvent.EXPIRE, TaskReason.VALIDITY_OVER
    return None


def runs(order: WorkOrder, channel: Channel, policy: Policy, now: int) -> bool:
    """Whether the work order may contact people at this moment."""
    in_window = order.start_at <= now < order.end_at
    return order.state is WorkOrderState.ACCEPTED and in_window and quiet_until(policy, channel, now) is None


def _submit_by(order: WorkOrder, now: int) -> int:
    return min(now + SUBMIT_SECONDS, order.end_at)


def _due(connection: Connection, node: str, channel: Channel, now: int) -> list[WorkOrder]:
    policy = policies.in_force(connection)
    accepted = ledger.work_orders(connection, node=node, states=[WorkOrderState.ACCEPTED])
    due = [order for order in accepted if order.channel == channel.name and runs(order, channel, policy, now)]
    return sorted(due, key=lambda order: (-order.priority, order.start_at, order.name))


def _free(connection: Connection, order: WorkOrder, state: TaskState, busy: Collection[tuple[str, int]]) -> list[int]:
    numbers = ledger.block_numbers(connection, order.name, with_state=state)
    return [number for number in numbers if (order.name, number) not in busy][:1]


def _load(connection: Connection, work_order: WorkOrder, number: int) -> tuple[WorkOrder, TaskBlock]:
    order = ledger.load_work_order(connection, work_order.name)
    block = ledger.load_block(connection, work_order.name, number)
    if order is None or block is None:
        raise missing(f"Block {number} of work order {work_order.name} is not here; it has yet to be received.")
    return order, block


def _consider(
    connection: Connection, order: WorkOrder, block: TaskBlock, rows: Rows, policy: Policy, now: int
) -> tuple[NDArray[np.int64], Considered]:
    msisdns, known = facts.at_claim(connection, order, block.keys[rows], policy)
    return msisdns, Considered(len(rows), facts.terms_of(order), policy, known, now)
