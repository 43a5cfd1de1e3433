"""Whether a node may contact anybody of a work order at the moment it books."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.delivery.claim import Claimed
from common.kernel.channel import CHANNELS
from common.kernel.policy import quiet_until
from common.kernel.work_order import WorkOrderState
from deploy.simulation.violation import Violation

if TYPE_CHECKING:
    from deploy.simulation.node import Node

CLOCKS_SECONDS = 120
"""The clocks of nodes that believe each other may be wrong by so much."""


def check(node: Node, claimed: Claimed) -> None:
    order, now, true_now = claimed.work_order, node.clock.now(), node.world.timeline.now
    if order.state is not WorkOrderState.ACCEPTED:
        raise Violation("paused", f"{node.name} booked {order}")
    if not order.start_at - CLOCKS_SECONDS <= true_now < order.end_at + CLOCKS_SECONDS:
        raise Violation("validity", f"{node.name} booked {order} at {true_now}")
    if quiet_until(claimed.policy, CHANNELS[order.channel], now) is not None:
        raise Violation("quiet", f"{node.name} booked {order} at {now}")
