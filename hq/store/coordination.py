"""HQ spends its own contacts when it issues tasks: whom the policy allows no more, is issued as suppressed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import Connection, bindparam, func, select

from common.delivery import decisions, facts, ledger, policies, spends
from common.delivery.tables import STATE_COLUMNS, task_block, work_order
from common.kernel.arbitration import fair_shares
from common.kernel.budget import NO_SPENDS, Spends, counts, spent
from common.kernel.columns import Keys, Rows
from common.kernel.contact_rules import AT_ISSUE, NO_ROOM, RIVAL, SPENT, Considered, Fact, fact_where, reasons
from common.kernel.policy import Policy
from common.kernel.task import TaskEvent, TaskReason, TaskState
from common.kernel.task_block import TaskBlock, advance
from common.kernel.work_order import WorkOrder

DAY_SECONDS = 86_400

_TAKEN_STATES = [s for s in TaskState if s not in (TaskState.SUPPRESSED, TaskState.EXPIRED, TaskState.FAILED)]
_TAKEN = [STATE_COLUMNS[state] for state in _TAKEN_STATES]
_ON_CHANNEL = (
    select(
        work_order.c.name,
        work_order.c.priority,
        work_order.c.task_count,
        func.coalesce(func.sum(task_block.c.tasks), 0).label("cut"),
        func.coalesce(func.sum(sum((task_block.c[name] for name in _TAKEN[1:]), task_block.c[_TAKEN[0]])), 0).label(
            "taken"
        ),
    )
    .outerjoin(task_block, work_order.c.name == task_block.c.work_order)
    .where(
        work_order.c.channel == bindparam("channel"),
        work_order.c.node == bindparam("node"),
        work_order.c.end_at > bindparam("start"),
        work_order.c.start_at < bindparam("end"),
        work_order.c.name != bindparam("but"),
    )
    .group_by(work_order.c.name, work_order.c.priority, work_order.c.task_count)
)


@dataclass(frozen=True, slots=True)
class Issued:
    """A block with those suppressed that may not be contacted; `rows` of it were considered."""

    block: TaskBlock
    rows: Rows
    considered: Considered
    rivals: list[str]


def allow(connection: Connection, order: WorkOrder, blocks: Sequence[TaskBlock], now: int) -> list[TaskBlock]:
    """The blocks, whose keys rise from each to the next, with those suppressed that may not be contacted.

    Call in the transaction that stores them: what is left open is spent from then on.
    """
    policy = policies.in_force(connection)
    issued = list(decide(connection, order, blocks, policy, room(connection, order, policy), now))
    for each in issued:
        block, rows = each.block, each.rows
        decisions.record(
            connection, block.work_order, block.number, "issue", rows, each.considered, len(rows), each.rivals
        )
    return [each.block for each in issued]


def decide(
    connection: Connection, order: WorkOrder, blocks: Sequence[TaskBlock], policy: Policy, room: int, now: int
) -> Iterator[Issued]:
    """What `allow` does with the blocks, the channel having `room` places left; nothing is written."""
    first, last = int(blocks[0].keys[0]), int(blocks[-1].keys[-1])
    known = spends.between(connection, first, last, policy, now, leased=True, but=order.name)
    for block in blocks:
        rows = np.flatnonzero(block.states == TaskState.OPEN)
        keys = block.keys[rows]
        here = _within(known, keys)
        considered = _consider(order, keys, policy, here, room, now)
        rivals, named = _rivals(keys, considered, here)
        considered = replace(considered, facts={**considered.facts, RIVAL: named})
        why = reasons(AT_ISSUE, considered)
        room -= int(np.count_nonzero(why == TaskReason.NONE))
        decided, _ = advance(block, rows[why > 0], TaskEvent.SUPPRESS, why[why > 0], now)
        yield Issued(decided, rows, considered, rivals)


def _within(known: Spends, keys: Keys) -> Spends:
    """Those that may be about `keys`: what counts them searches for each."""
    if len(keys) == 0:
        return NO_SPENDS
    return known.take((known.keys >= keys[0]) & (known.keys <= keys[-1]))


def _consider(order: WorkOrder, keys: Keys, policy: Policy, known: Spends, room: int, now: int) -> Considered:
    terms = facts.terms_of(order)
    found: dict[str, Fact] = {}
    for place, rule in enumerate(policy.caps):
        if rule.covers(terms.channel_class, terms.product_line):
            used = spent(keys, known, rule, now)
            places = np.flatnonzero(used)
            found[f"{SPENT}.{place}"] = Fact(places, used[places])
    considered = Considered(len(keys), terms, policy, found, now)
    return replace(considered, facts={**found, NO_ROOM: _without_room(considered, room)})


def _without_room(considered: Considered, room: int) -> Fact:
    """Those past the places left on the channel, in order of key, among those no other rule forbids."""
    free = reasons(AT_ISSUE, considered) == 0
    return fact_where(free & (np.cumsum(free) > room))


def _rivals(keys: Keys, considered: Considered, known: Spends) -> tuple[list[str], Fact]:
    """Of each person capped, the work order that holds the newest contact counted."""
    capped = reasons(AT_ISSUE, considered) == TaskReason.CONTACT_CAP
    terms, counting = considered.terms, np.zeros(len(known), dtype=np.bool_)
    for rule in considered.policy.caps:
        if rule.covers(terms.channel_class, terms.product_line):
            counting |= counts(known, rule, considered.now)
    places = np.searchsorted(keys, known.keys).clip(max=len(keys) - 1)
    held = np.flatnonzero(counting & (keys[places] == known.keys) & capped[places])
    newest = held[np.lexsort((known.dates[held], places[held]))]
    last = np.append(places[newest][1:] != places[newest][:-1], True)[: len(newest)]
    newest = newest[last]
    used, refs = np.unique(known.refs[newest], return_inverse=True)
    return [known.accounts[ref].work_order for ref in used.tolist()], Fact(places[newest], refs.astype(np.int64))


def room(connection: Connection, order: WorkOrder, policy: Policy) -> int:
    """How many contacts more the channel can take for this work order at its node, in the work order's days.

    Work orders of one priority that are being issued at the same time share the places fairly.
    """
    a_day = policy.capacity(order.channel)
    if a_day is None:
        return np.iinfo(np.int64).max
    wanted = {"channel": order.channel, "node": order.node, "start": order.start_at, "end": order.end_at}
    others = connection.execute(_ON_CHANNEL, wanted | {"but": order.name}).all()
    asking = [other for other in others if other.priority == order.priority and other.cut < other.task_count]
    places = a_day * -(-(order.end_at - order.start_at) // DAY_SECONDS)
    places -= sum(int(other.taken) for other in others if other not in asking)
    asked = np.array([order.task_count, *(other.task_count for other in asking)])
    own = ledger.counts(connection, order.name)
    return int(fair_shares(asked, max(0, places))[0]) - sum(own[state] for state in _TAKEN_STATES)
