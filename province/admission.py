"""A province's own contacts: decided, booked, made tasks of and told to HQ in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from common.delivery import decisions, facts, ledger, policies, settle
from common.delivery.outlet import Outlet
from common.kernel.arbitration import Verdict
from common.kernel.columns import Codes, Rows
from common.kernel.contact_rules import AT_LOCAL, Considered, reasons
from common.kernel.grant import GrantRequest
from common.kernel.task import TaskEvent, TaskReason
from common.kernel.task_block import TaskBlock, advance, open_block, unsettled
from common.kernel.work_order import WorkOrder
from province import uplink
from province.coordination import Books, arbitrate, facts_of
from province.local_request import LocalRequest, Outcome, blocks_of, counts, work_order_of
from province.store import coordination, local_requests

PEOPLE_MAX = 200_000
"""People decided in one transaction, where there are several requests: claims and receipts wait for it."""
LACKING = (TaskReason.CONTACT_CAP, TaskReason.OUTRANKED)
"""Whom the province's own contacts do not cover. HQ's may."""


@dataclass(frozen=True, slots=True)
class Ungranted:
    """What block `number` of a local request lacks, to be asked of HQ."""

    name: str
    number: int
    asked: GrantRequest


def admit(
    connection: Connection, books: Books, node: str, outlet: Outlet, now: int, at: int | None = None
) -> Books | None:
    """Decide what waits, and keep and tell all that follows; answers the books with the new spends, which hold once
    this is committed. None, changing nothing, where another policy has come into force since they were opened.

    `at`: `now` in milliseconds, where it is known as finely.
    """
    policy = policies.in_force(connection)
    if policy != books.policy:
        return None
    at = now * 1000 if at is None else at
    waiting = local_requests.waiting(connection, PEOPLE_MAX)
    every = [request for name in waiting if (request := local_requests.load(connection, name)) is not None]
    for request in every:
        if request.end_at <= now:
            _too_late(connection, request, work_order_of(request, node, policy.version, now), at)
    asked = [request for request in every if now < request.end_at]
    since = coordination.since(connection, asked, policy, now)
    rooms = coordination.rooms(connection, asked, policy, now)
    verdicts = arbitrate(asked, books, since, rooms, now)
    orders = [work_order_of(request, node, policy.version, now) for request in asked]
    rivals = [order.name for order in orders]
    for request, order, verdict in zip(asked, orders, verdicts, strict=True):
        ledger.put_work_order(connection, order)
        uplink.append_asked(connection, order, blocks_of(request, order.name), now)
        blocks = []
        for block in blocks_of(request, order.name):
            known = facts_of(verdict, slice(block.first_task, block.first_task + len(block)))
            considered = Considered(len(block), facts.terms_of(order), policy, known, now)
            blocks.append(_admitted(connection, block, considered, rivals, outlet))
        if not any(unsettled(block).any() for block in blocks):
            settle.finish(connection, order.name, outlet)
        local_requests.decide(connection, request.name, _outcome(request, order, blocks), at)
        books = books.booked(request, np.flatnonzero(verdict.codes == Verdict.GRANTED))
    return books


def _too_late(connection: Connection, request: LocalRequest, order: WorkOrder, at: int) -> None:
    """It takes no contact from what is in time. Its tasks are told as any others, and the next sweep ends them."""
    ledger.put_work_order(connection, order)
    blocks = blocks_of(request, order.name)
    uplink.append_asked(connection, order, blocks, at // 1000)
    for block in blocks:
        ledger.insert_block(connection, block)
    local_requests.decide(connection, request.name, Outcome(order.name, 0, {"validity_over": len(request)}), at)


def ungranted(connection: Connection) -> Iterator[Ungranted]:
    """What is still to be asked of HQ. Asked again it is the same."""
    for name in local_requests.at_hq(connection):
        request, reached = local_requests.load(connection, name), local_requests.outcome(connection, name)
        order = ledger.load_work_order(connection, reached.work_order) if reached else None
        for number in reached.unanswered if reached else ():
            block = ledger.load_block(connection, reached.work_order, number) if reached else None
            if request is not None and order is not None and block is not None:
                yield Ungranted(name, number, _grant_request(request, order, block))


def answered(connection: Connection, lacking: Ungranted, answer: Codes | str) -> None:
    """Keep HQ's word: a reason for each contact asked for (NONE: granted), or why it will never grant any."""
    reached = local_requests.outcome(connection, lacking.name)
    if reached is not None and lacking.number in reached.unanswered:
        number = lacking.number
        told = reached.refused(number, answer) if isinstance(answer, str) else reached.answered(number, answer)
        local_requests.settle(connection, lacking.name, told)


def _admitted(
    connection: Connection, block: TaskBlock, considered: Considered, rivals: Sequence[str], outlet: Outlet
) -> TaskBlock:
    """The block, stored with those suppressed whom a rule forbids."""
    rows = np.arange(len(block))
    made = decisions.record(connection, block.work_order, block.number, "local", rows, considered, len(rows), rivals)
    if made is not None:
        outlet.decided(connection, made)
    why = reasons(AT_LOCAL, considered)
    block, suppressed = advance(block, rows[why > 0], TaskEvent.SUPPRESS, why[why > 0], considered.now)
    ledger.insert_block(connection, block)
    if len(suppressed):
        outlet.settled(connection, block, suppressed)
    return block


def _outcome(request: LocalRequest, order: WorkOrder, blocks: Sequence[TaskBlock]) -> Outcome:
    why = np.concatenate([block.reasons for block in blocks])
    lacking = [block.number for block in blocks if request.ask_hq and np.isin(block.reasons, LACKING).any()]
    return Outcome(order.name, int(np.count_nonzero(why == 0)), counts(why[why > 0]), tuple(lacking))


def _grant_request(request: LocalRequest, order: WorkOrder, block: TaskBlock) -> GrantRequest:
    rows: Rows = np.flatnonzero(np.isin(block.reasons, LACKING))
    return GrantRequest(
        request_id=f"{request.name}.{block.number}",
        channel=request.channel,
        offer=request.offer,
        product_line=request.product_line,
        purpose=request.purpose,
        start_at=order.start_at,
        end_at=order.end_at,
        priority=request.priority,
        tasks=open_block(order.name, 0, block.keys[rows], block.texts, block.text_refs[rows]),
    )
