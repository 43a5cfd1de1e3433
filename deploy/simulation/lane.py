"""One channel's deliveries at a simulated node: claimed, sent and recorded by its own lane, with time between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from common.delivery import lane
from common.delivery.claim import Claimed
from common.delivery.lane import Delivery
from common.delivery.record import NO_ANSWER, Sent
from common.kernel.channel import Channel, NeverAccepted, OutboundBatch, SendAnswer, SendOutcome
from common.kernel.policy import SUBMIT_SECONDS, quiet_until
from common.runtime.clock import milliseconds
from deploy.simulation import permitted
from deploy.simulation.coroutine import at_once
from deploy.simulation.vendor import Outcome, Vendor

if TYPE_CHECKING:
    from deploy.simulation.node import Node

LOOK_SECONDS = (200.0, 10_000.0)
"""How soon a lane with nothing to do looks again, at first and at last; production looks sooner."""
UNSENT = """
SELECT 1 FROM task_block JOIN work_order ON name = work_order
WHERE node = ? AND channel = ? AND (open_tasks > 0 OR submitting_tasks > 0) LIMIT 1
"""


class Lane:
    def __init__(self, node: Node, delivery: Delivery, channel: Channel, vendor: Vendor) -> None:
        self._node = node
        self._real: Any = lane.Lane(delivery, channel, vendor, 1)  # type: ignore[arg-type]
        self._busy = delivery.busy
        self._channel = channel
        self._vendor = vendor
        self._planned = False
        self._look_seconds = LOOK_SECONDS[0]

    def wake(self) -> None:
        self._look_seconds = LOOK_SECONDS[0]
        if not self._planned:
            self._plan(5 * self._node.world.random.random())

    def _plan(self, seconds: float) -> None:
        self._planned = True
        self._node.plan(seconds, self._turn)

    def _turn(self) -> None:
        self._planned = False
        node = self._node
        if not node.working or not node.rows(UNSENT, node.name, self._channel.name):
            return
        started = node.clock.monotonic()
        claimed = at_once(self._real._claim(self._vendor.terms))
        if claimed:
            self._go(claimed[0], started + SUBMIT_SECONDS)
            self.wake()
        else:
            self._look_seconds = min(2 * self._look_seconds, LOOK_SECONDS[1])
            self._plan(self._look_seconds * node.world.random.random())

    def _go(self, claimed: Claimed, deadline: float) -> None:
        node = self._node
        if len(claimed.rows):
            again = " to send again" if claimed.resent else ""
            node.world.tell(node.name, "booked %s tasks %s%s", claimed.work_order.name, claimed.rows, again)
            node.world.witness.booked(node, claimed)
            permitted.check(node, claimed)
            node.plan(3 * node.world.random.random(), self._send, claimed, deadline)
        else:
            if claimed.asleep_until:
                self._real._pass_over(claimed)
            self._busy.discard(_place(claimed))

    def _send(self, claimed: Claimed, deadline: float) -> None:
        size = self._vendor.terms.batch_max
        _Sending(self, claimed, deadline, -(-len(claimed.rows) // size)).go(size)

    def attempt(self, sending: _Sending, batch: OutboundBatch, part: slice) -> None:
        clock, claimed = self._node.clock, sending.claimed
        late = clock.monotonic() >= sending.deadline
        if late or any(quiet_until(claimed.policy, self._channel, clock.now(), zone) for zone in claimed.zones):
            sending.ended(part, NeverAccepted("too late"))
        else:
            self._vendor.send(batch, lambda outcome: sending.ended(part, outcome))

    def record(self, sending: _Sending) -> None:
        node, claimed = self._node, sending.claimed
        node.world.tell(node.name, "records %s tasks %s: %s", claimed.work_order.name, claimed.rows, sending.outcomes)
        sent = [Sent(claimed, sending.outcomes, milliseconds(node.clock))]
        self._real._learn(sent, at_once(self._real._record(sent, self._vendor.terms)))
        self._busy.discard(_place(claimed))
        self.wake()


class _Sending:
    """The batches of what was booked, under way together."""

    def __init__(self, lane: Lane, claimed: Claimed, deadline: float, batches: int) -> None:
        self.claimed = claimed
        self.deadline = deadline
        self.outcomes = np.full(len(claimed.rows), NO_ANSWER, dtype=np.uint8)
        self._lane = lane
        self._left = batches

    def go(self, size: int) -> None:
        for start in range(0, len(self.outcomes), size):
            part = slice(start, start + size)
            self._lane.attempt(self, lane._batch(self.claimed, part), part)

    def ended(self, part: slice, outcome: Outcome) -> None:
        if isinstance(outcome, SendAnswer):
            self.outcomes[part] = outcome.outcomes
        elif isinstance(outcome, NeverAccepted):
            self.outcomes[part] = SendOutcome.THROTTLED
        self._left -= 1
        if self._left == 0:
            self._lane.record(self)


def _place(claimed: Claimed) -> tuple[str, int]:
    return claimed.work_order.name, claimed.block.number
