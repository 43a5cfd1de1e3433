"""Drives a node's work orders over its channels until stopped, and picks up after a crash where the ledger says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection

from common.delivery import sweep
from common.delivery.claim import Contacts
from common.delivery.fence import Fence
from common.delivery.lane import Delivery, Lane
from common.delivery.outlet import Outlet
from common.kernel.channel import Channel, ChannelPort
from common.kernel.policy import Policy
from common.kernel.work_order import WorkOrder
from common.runtime.clock import Clock
from common.runtime.database import Database
from common.runtime.outage import StoreUnavailable

SWEEP_SECONDS = 20
"""By the node's clock, so a step forward is swept at once."""
SWEEP_LOOK_SECONDS = 0.5
SWEEP_BLOCKS = 16
"""Blocks swept in one transaction, so that claims need not wait long."""


class Runner:
    """`channels` are those this node runs and `ports` the vendor of each. `bell` is called after every commit.
    Whom `may_contact` leaves out is not claimed; what has been submitted goes on.

    Nothing here remembers what was sent: all of it is in the ledger, so a runner may be killed at any moment and
    another started on the same store. Two must never run on one store at once.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        channels: Mapping[str, Channel],
        ports: Mapping[str, ChannelPort],
        outlet: Outlet,
        node: str,
        bell: Callable[[], None],
        may_contact: Callable[[Policy], Contacts] = lambda _policy: Contacts.ALL,
        fence: Fence | None = None,
    ) -> None:
        self._delivery = Delivery(database, clock, outlet, node, bell, may_contact, fence)
        self._channels = dict(channels)
        self._lanes = [Lane(self._delivery, channels[name], port) for name, port in ports.items()]
        self._swept_at: int | None = None

    def ring(self) -> None:
        """A work order, a block or a command arrived."""
        self._swept_at = None
        self.wake()

    def wake(self) -> None:
        """There is more to send, and nothing has ended."""
        for lane in self._lanes:
            lane.ring()

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                group.create_task(lane.run())
            group.create_task(self._sweep_for_ever())

    async def _sweep_for_ever(self) -> None:
        while True:
            now = self._delivery.clock.now()
            if self._swept_at is None or abs(now - self._swept_at) >= SWEEP_SECONDS:
                self._swept_at = now
                try:
                    await self._sweep(now)
                except StoreUnavailable:
                    self._swept_at = None
            await asyncio.sleep(SWEEP_LOOK_SECONDS)

    async def _sweep(self, now: int) -> None:
        delivery = self._delivery
        found = await delivery.database.read(sweep.due, delivery.node, self._channels, now)
        for start in range(0, len(found), SWEEP_BLOCKS):
            await delivery.database.write(self._sweep_blocks, found[start : start + SWEEP_BLOCKS], now)
        finished = await delivery.database.write(sweep.finish_all, delivery.node, delivery.outlet)
        if found or finished:
            delivery.bell()

    def _sweep_blocks(self, connection: Connection, blocks: Sequence[tuple[WorkOrder, int]], now: int) -> None:
        delivery = self._delivery
        for order, number in blocks:
            channel = self._channels[order.channel]
            sweep.sweep_block(connection, order, number, now, channel, delivery.busy, delivery.outlet)
