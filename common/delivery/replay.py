"""Every decision kept here made again, and the ledger held to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, func, select

from common.delivery import decisions, ledger, policies
from common.delivery.facts import terms_of
from common.delivery.tables import incarnation
from common.kernel.contact_rules import AT_CLAIM, AT_ISSUE, AT_LOCAL
from common.kernel.replay import Broken, Custody, Difference, Replayed, replay
from common.kernel.task import TaskReason
from common.kernel.work_order import GRANT, WorkOrder

DIFFERENCES_TOLD_MAX = 20
_RESTORED = select(func.count()).where(incarnation.c.number > 1)

Document = dict[str, Any]


def replay_all(connection: Connection, node: str, orders: list[WorkOrder], at_issue: bool) -> Document:
    """Counts and the first differences over all blocks of `orders`. `at_issue`: this node decides what is issued.

    A node that ever came back from a backup has lost decisions, so there a task without one is no difference.
    """
    counts, first = Counter[str](), list[Difference]()
    whole = not connection.execute(_RESTORED).scalar_one()
    for order in orders:
        custody = Custody(mirrored=order.node != node, ruled=_ruled(order, at_issue))
        for found in _blocks(connection, order, custody):
            kept = [each for each in found.differences if whole or each.broken is not Broken.UNDECIDED]
            counts.update(_counts(found) | {"differences": len(kept)})
            first += kept[: DIFFERENCES_TOLD_MAX - len(first)]
    names = ("blocks", "decisions", "suppressed", "allowed", "awaited", "differences")
    return {name: counts[name] for name in names} | {"work_orders": len(orders), "first": [asdict(d) for d in first]}


def _blocks(connection: Connection, order: WorkOrder, custody: Custody) -> Iterator[Replayed]:
    policy_of = _policies(connection)
    for block in ledger.blocks(connection, order.name):
        made = decisions.of_block(connection, order.name, block.number)
        yield replay(block, made, terms_of(order), policy_of, custody)


def _counts(found: Replayed) -> dict[str, int]:
    names = ("decisions", "suppressed", "allowed", "awaited")
    return {name: getattr(found, name) for name in names} | {"blocks": 1}


def _policies(connection: Connection) -> Callable[[int], Any]:
    return lambda version: policies.of_version(connection, version)


def _ruled(order: WorkOrder, at_issue: bool) -> frozenset[TaskReason]:
    """Reasons that tasks of the work order can have from decisions kept at this node only."""
    granting = () if order.leased and not at_issue else AT_ISSUE if order.leased else AT_LOCAL
    rules = (*granting, *AT_CLAIM)
    # A province may ask for a stranger, and is answered so without a decision.
    strangers = {TaskReason.NO_NUMBER} if order.campaign.startswith(GRANT) else set()
    return frozenset({rule.reason for rule in rules} - strangers)
