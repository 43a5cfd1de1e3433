"""Who of a block is contacted now: decided and booked as spent in one transaction, before anything is sent."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from common.delivery import decisions, facts, fence, ledger, places, policies, settle, vault
from common.delivery.outlet import Outlet
from common.kernel.channel import Channel, VendorTerms
from common.kernel.columns import Mask, Rows, Times
from common.kernel.contact_rules import AT_CLAIM, Considered, reasons
from common.kernel.policy import SUBMIT_SECONDS, Policy, everybody_quiet, quiet_by_home
from common.kernel.refusal import missing
from common.kernel.task import TaskEvent, TaskReason, TaskState
from common.kernel.task_block import TaskBlock, advance
from common.kernel.work_order import WorkOrder, WorkOrderState

MAY_RUN = (WorkOrderState.ACCEPTED,)


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
    zones: tuple[str, ...] = ()
    """By which clocks those of `rows` live."""
    asleep_until: int = 0
    """Others of the block may be contacted from then on, when their own quiet hours end; 0: there are none."""
    mark: int = 0
    """What must be kept beside the store before any of it is sent; 0 where nothing is booked."""


class Contacts(IntEnum):
    """Whom a node may contact at a moment."""

    NOBODY = 0
    OWN = 1
    """Only by its own tokens: of what HQ leased, nobody."""
    ALL = 2


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
    rows, zones, asleep_until = _awake(connection, block, rows, channel, policy, now)
    if len(rows) == 0:
        return replace(nobody, asleep_until=asleep_until)
    msisdns, considered = _consider(connection, order, block, rows, policy, now)
    made = decisions.record(connection, order.name, number, "claim", rows, considered, limit)
    if made is not None:
        outlet.decided(connection, made)
    why = reasons(AT_CLAIM, considered)
    block, suppressed = advance(block, rows[why > 0], TaskEvent.SUPPRESS, why[why > 0], now)
    allowed = np.flatnonzero(why == TaskReason.NONE)[:limit]
    block, booked = _booked(connection, block, suppressed, rows[allowed], now, outlet)
    submit_by = _submit_by(order, now)
    return Claimed(order, block, booked, msisdns[allowed], submit_by, policy, zones=zones, asleep_until=asleep_until)


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
    rows, zones, asleep_until = _awake(connection, block, rows, channel, policy, now)
    if len(rows) == 0:
        return replace(nobody, asleep_until=asleep_until)
    msisdns, considered = _consider(connection, order, block, rows, policy, now)
    # An unanswered booking counts against the budget until its work order ends, so only the vendor's memory limits it.
    covered = recognised(block.submitted_at[rows], terms, now)
    again = covered & (reasons(AT_CLAIM, considered) == TaskReason.NONE)
    block, lost = advance(block, rows[~covered], TaskEvent.LOSE, TaskReason.NO_ANSWER, now)
    # Often the rule that forbids it is the answer to this very message.
    block, _ = settle.dated(block, rows[covered & ~again], now)
    block, awaited = advance(block, rows[covered & ~again], TaskEvent.ACCEPT, TaskReason.NONE, now)
    settle.save(connection, block, np.concatenate([lost, awaited]), outlet)
    submit_by = _submit_by(order, now)
    return Claimed(order, block, rows[again], msisdns[again], submit_by, policy, True, zones, asleep_until)


def _booked(
    connection: Connection, block: TaskBlock, suppressed: Rows, rows: Rows, now: int, outlet: Outlet
) -> tuple[TaskBlock, Rows]:
    """Spent with the caller's transaction, before anything is sent."""
    block, booked = advance(block, rows, TaskEvent.BOOK, TaskReason.NONE, now)
    settle.save(connection, block, np.concatenate([suppressed, booked]), outlet)
    return block, booked


def recognised(submitted_at: Times, terms: VendorTerms, now: int) -> Mask:
    """Which messages the vendor would still know again if they were sent now."""
    known: Mask = submitted_at.astype(np.int64) + terms.dedupe_seconds - SUBMIT_SECONDS > now
    return known


def take(
    connection: Connection,
    node: str,
    channel: Channel,
    terms: VendorTerms,
    now: int,
    limit: int,
    busy: Collection[tuple[str, int]],
    outlet: Outlet,
    contacts: Contacts = Contacts.ALL,
    blocks: int = 1,
) -> list[Claimed]:
    """Claim up to `blocks` blocks whose turn it is, of together about `limit` messages; none where nothing can be done.

    Work orders go by priority, then start, then name; in each, unanswered messages go before new ones. Blocks in
    `busy` are passed over. Where the channel has no places left today, what was booked before is still sorted out.
    """
    left = places.left(connection, node, channel, policies.in_force(connection), now, limit)
    taken: list[Claimed] = []
    for order, number, state in _turns(connection, node, channel, contacts, now, busy):
        if state is TaskState.SUBMITTING:
            taken.append(reclaim(connection, order, number, now, channel, terms, outlet))
        elif left:
            taken.append(claim(connection, order, number, now, channel, left, outlet))
            left -= len(taken[-1].rows)
        if len(taken) == blocks or sum(len(each.rows) for each in taken) >= limit:
            break
    return _marked(connection, taken)


def _turns(
    connection: Connection,
    node: str,
    channel: Channel,
    contacts: Contacts,
    now: int,
    busy: Collection[tuple[str, int]],
) -> Iterator[tuple[WorkOrder, int, TaskState]]:
    """A block that has both comes for its unanswered messages: the others wait until those are sorted out."""
    for order in _due(connection, node, channel, contacts, now):
        seen = set(busy)
        for state in (TaskState.SUBMITTING, TaskState.OPEN):
            for number in ledger.block_numbers(connection, order.name, with_state=state):
                if (order.name, number) not in seen:
                    seen.add((order.name, number))
                    yield order, number, state


def ending(order: WorkOrder, now: int) -> tuple[TaskEvent, TaskReason] | None:
    """What becomes of tasks still open, where the work order can submit nothing any more."""
    if order.state is WorkOrderState.CANCELLED:
        return TaskEvent.SUPPRESS, TaskReason.CANCELLED
    if now >= order.end_at:
        return TaskEvent.EXPIRE, TaskReason.VALIDITY_OVER
    return None


def runs(order: WorkOrder, channel: Channel, policy: Policy, now: int) -> bool:
    """Whether the work order may contact anybody at this moment."""
    return order.state in MAY_RUN and in_validity(order, now) and not everybody_quiet(policy, channel, now)


def in_validity(order: WorkOrder, now: int) -> bool:
    return order.start_at <= now < order.end_at


def _submit_by(order: WorkOrder, now: int) -> int:
    return min(now + SUBMIT_SECONDS, order.end_at)


def _marked(connection: Connection, taken: list[Claimed]) -> list[Claimed]:
    if not any(len(claimed.rows) for claimed in taken):
        return taken
    mark = fence.raise_mark(connection)
    return [replace(claimed, mark=mark) if len(claimed.rows) else claimed for claimed in taken]


def _due(connection: Connection, node: str, channel: Channel, contacts: Contacts, now: int) -> list[WorkOrder]:
    policy, received = policies.in_force(connection), policies.received(connection)
    accepted = ledger.work_orders_to_send(connection, node, channel.name, MAY_RUN)
    # Bulk may overtake the policy it was issued by, above all at a node that is new.
    ready = [order for order in accepted if order.policy_version <= received]
    allowed = [order for order in ready if contacts >= (Contacts.ALL if order.leased else Contacts.OWN)]
    due = [order for order in allowed if runs(order, channel, policy, now)]
    return sorted(due, key=lambda order: (-order.priority, order.start_at, order.name))


def _load(connection: Connection, work_order: WorkOrder, number: int) -> tuple[WorkOrder, TaskBlock]:
    order = ledger.load_work_order(connection, work_order.name)
    block = ledger.load_block(connection, work_order.name, number)
    if order is None or block is None:
        raise missing(f"Block {number} of work order {work_order.name} is not here; it has yet to be received.")
    return order, block


def _awake(
    connection: Connection, block: TaskBlock, rows: Rows, channel: Channel, policy: Policy, now: int
) -> tuple[Rows, tuple[str, ...], int]:
    """(those of `rows` whose hour it is, by which clocks they live, when the first of the others may be contacted)."""
    if not policy.zones:
        return rows, (channel.zone,), 0
    homes = vault.provinces_of(connection, block.keys[rows])
    until = quiet_by_home(policy, channel, now, homes)
    awake, asleep = until == 0, until[until > 0]
    zones = {policy.zone(channel, home) for home in np.unique(homes[awake]).tolist()}
    return rows[awake], tuple(sorted(zones)), int(asleep.min()) if len(asleep) else 0


def _consider(
    connection: Connection, order: WorkOrder, block: TaskBlock, rows: Rows, policy: Policy, now: int
) -> tuple[NDArray[np.int64], Considered]:
    keys, unwritten = block.keys[rows], np.array([not text for text in block.texts])[block.text_refs[rows]]
    msisdns, known = facts.at_claim(connection, order, keys, policy, now, keys[unwritten])
    return msisdns, Considered(len(rows), facts.terms_of(order), policy, known, now)
