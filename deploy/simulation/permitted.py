"""Whether a node, by what its own store says at the moment it books a contact, may make it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from common.delivery.claim import Claimed
from common.kernel.channel import CHANNELS
from common.kernel.policy import quiet_until
from common.kernel.statement import AGREED, SCOPES, Change, Statement
from common.kernel.stop import CLASS_SCOPES, StopScope
from common.kernel.work_order import HQ_NODE, WorkOrderState
from deploy.simulation.witness import Violation

if TYPE_CHECKING:
    from deploy.simulation.node import Node

CLOCKS_SECONDS = 120
"""The clocks of nodes that believe each other may be wrong by so much."""
NEWEST_POLICY = "SELECT coalesce(max(version), 0) FROM policy"
STOPPED = "SELECT subscriber_key FROM stop WHERE NOT lifted AND scope = ?"
COOLING = "SELECT subscriber_key FROM stop WHERE NOT lifted AND scope = ? AND stopped_at + ? > ?"
OWNS = "SELECT subscriber_key FROM order_record WHERE offer = ?"
CONSENTED = "SELECT subscriber_key FROM consent WHERE NOT withdrawn AND purpose = ? AND expires_at > ?"
SAID = "SELECT subscriber_key, scope, stopped_at, lifted FROM stop ORDER BY subscriber_key, scope"


def check(node: Node, claimed: Claimed) -> None:
    order, now, true_now = claimed.work_order, node.clock.now(), node.world.timeline.now
    if order.state is not WorkOrderState.ACCEPTED:
        raise Violation("paused", f"{node.name} booked {order}")
    if not order.start_at - CLOCKS_SECONDS <= true_now < order.end_at + CLOCKS_SECONDS:
        raise Violation("validity", f"{node.name} booked {order} at {true_now}")
    if quiet_until(claimed.policy, CHANNELS[order.channel], now) is not None:
        raise Violation("quiet", f"{node.name} booked {order} at {now}")
    if node.rows(NEWEST_POLICY) < [(order.policy_version,)]:
        raise Violation("versions", f"{node.name} booked {order} before it had its policy")
    booked = set(claimed.block.keys[claimed.rows].tolist())
    for rule, keys in _forbidden(node, claimed, booked, now):
        if booked & keys:
            raise Violation(rule, f"{node.name} booked {sorted(booked & keys)} of {order} at {now}")


def check_words(nodes: Sequence[Node], said: Sequence[tuple[int, Statement]]) -> None:
    """Where nobody forgot anything, all nodes hold the same, and of no person an older word than was written down."""
    if any(node.restored for node in nodes):
        return
    hold = {node.name: node.rows(SAID) for node in nodes}
    if any(held != hold[HQ_NODE] for held in hold.values()):
        raise Violation("words", f"{hold}")
    stand = {(key, scope): (at, not lifted) for key, scope, at, lifted in hold[HQ_NODE]}
    for key, each in said:
        rank = each.given_at, each.change is Change.STOPPED
        if each.change not in AGREED and rank > stand[key, SCOPES[each.purpose]]:
            raise Violation("words", f"{key} said {each}, and at the end {stand} stand")


def _forbidden(node: Node, claimed: Claimed, booked: set[int], now: int) -> Iterator[tuple[str, set[int]]]:
    order, policy = claimed.work_order, claimed.policy
    yield "blacklist", _keys(node, STOPPED, int(StopScope.BLACKLIST))
    if order.service:
        return
    for scope in (StopScope.ALL, CLASS_SCOPES[CHANNELS[order.channel].channel_class]):
        yield "stops", _keys(node, STOPPED, int(scope))
    yield "cooling", _keys(node, COOLING, int(StopScope.REFUSED), policy.cooling_seconds, now)
    yield "ordered", _keys(node, OWNS, order.offer)
    if order.purpose:
        yield "consent", booked - _keys(node, CONSENTED, order.purpose, now)


def _keys(node: Node, statement: str, *values: object) -> set[int]:
    return {key for (key,) in node.rows(statement, *values)}
