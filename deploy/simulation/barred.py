"""Whom a node may not contact by what its own store holds, read from the rows at the moment it booked a contact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from common.delivery.claim import Claimed
from common.kernel.channel import CHANNELS
from common.kernel.order import OrderChange
from common.kernel.policy import CLOCK_MARGIN_SECONDS, Policy
from common.kernel.stop import StopScope
from common.kernel.work_order import WorkOrder
from deploy.simulation.violation import Violation

if TYPE_CHECKING:
    from deploy.simulation.node import Node

STOPS = "SELECT scope, stopped_at FROM stop WHERE subscriber_key = ? AND NOT lifted"
GONE = "SELECT 1 FROM vault WHERE subscriber_key = ? AND NOT active"
CONSENT = (
    "SELECT 1 FROM consent WHERE subscriber_key = ? AND purpose = ? AND NOT withdrawn AND given_at <= ? "
    "AND expires_at > ?"
)
NEWEST_ORDERS = """
SELECT offer, change, accepted_at FROM order_record AS of_order WHERE subscriber_key = ? AND revision = (
    SELECT max(revision) FROM order_record
    WHERE source_system = of_order.source_system AND order_number = of_order.order_number)
"""


def check(node: Node, claimed: Claimed) -> None:
    """I2 and I3, as far as the deciding node can know."""
    now = node.clock.now()
    for key in claimed.block.keys[claimed.rows].tolist():
        for rule, why in _bars(node, key, claimed.work_order, claimed.policy, now):
            raise Violation(rule, f"{node.name} booked {claimed.work_order.name} for {key}, who {why}")


def _bars(node: Node, key: int, order: WorkOrder, policy: Policy, now: int) -> Iterator[tuple[str, str]]:
    for scope, stopped_at in node.rows(STOPS, key):
        if _stops(scope, stopped_at, order, policy, now):
            yield "stops", f"has a stop of scope {scope} since {stopped_at}"
    if node.rows(GONE, key):
        yield "stops", "has left"
    if not order.service:
        yield from _marketing_bars(node, key, order, policy, now)


def _marketing_bars(node: Node, key: int, order: WorkOrder, policy: Policy, now: int) -> Iterator[tuple[str, str]]:
    channel_class = CHANNELS[order.channel].channel_class
    needed = {order.purpose} if order.purpose else set()
    for purpose in sorted(needed | ({channel_class} & set(policy.consent_classes))):
        if not node.rows(CONSENT, key, purpose, now + CLOCK_MARGIN_SECONDS, now):
            yield "consents", f"has not consented to {purpose}"
    for offer, change, accepted_at in node.rows(NEWEST_ORDERS, key):
        rests = now < accepted_at + policy.after_order_seconds
        if change == OrderChange.SUBSCRIBED and (offer == order.offer or rests):
            yield "orders", f"ordered {offer} at {accepted_at}"


def _stops(scope: int, stopped_at: int, order: WorkOrder, policy: Policy, now: int) -> bool:
    if scope == StopScope.BLACKLIST or order.service:
        return scope == StopScope.BLACKLIST
    if scope == StopScope.REFUSED:
        return now < stopped_at + policy.cooling_seconds
    return scope in (StopScope.ALL, StopScope[CHANNELS[order.channel].channel_class.name])
