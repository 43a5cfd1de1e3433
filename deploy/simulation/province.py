"""A simulated province."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from common.delivery.claim import Contacts
from common.delivery.outlet import Outlet
from common.delivery.source_place import place
from common.kernel.channel import CHANNELS, Level
from common.kernel.order import OrderRecords
from common.kernel.policy import Policy
from common.runtime.clock import GuardedClock
from deploy.simulation.coroutine import run
from deploy.simulation.link import Link
from deploy.simulation.machine import Inline
from deploy.simulation.node import Node
from deploy.simulation.policies import CHANNELS as SIMULATED
from deploy.simulation.source import BSS, Source, follow
from province import bss_sync, link, policies
from province.coordinator import Coordinator
from province.inbox import Inbox
from province.local_request import LocalRequest
from province.store import local_requests
from province.uplink import HqOutlet

if TYPE_CHECKING:
    from deploy.simulation.headquarters import Headquarters
    from deploy.simulation.world import World

UNDECIDED = f"SELECT 1 FROM local_request WHERE state <> {int(local_requests.State.DONE)} LIMIT 1"  # noqa: S608
ASK_AGAIN_SECONDS = 900.0


class Province(Node):
    def __init__(self, world: World, code: str, hq: Headquarters) -> None:
        super().__init__(world, code, {n: CHANNELS[n] for n in SIMULATED if CHANNELS[n].level is Level.TWO})
        self.inbox = Inbox(self.channels)
        self.orders = Source[OrderRecords](f"{BSS}{code}", "orders")
        self.pool = Source[Any](f"{BSS}{code}", "pool")
        self._hq = hq
        self.link: Link | None = None
        self._coordinator: Coordinator | None = None
        self._turning = False

    def outlet_of(self, clock: GuardedClock) -> Outlet:
        return HqOutlet(clock)

    def begun(self, connection: Connection) -> None:
        link.begin_incarnation(connection)

    def may_contact(self, policy: Policy) -> Contacts:
        if self.fence.closed or self.link is None:
            return Contacts.NOBODY
        return self.link.may_contact(policy.stop_freshness_seconds)

    def serve(self) -> None:
        self.write(policies.judge_again, self.clock.now())
        self.link = Link(self, self._hq)
        self._coordinator = Coordinator(
            Inline(self),  # type: ignore[arg-type]
            self.clock,
            self.name,
            self.outlet,
            self.wake_lanes,
            self.link.acquire,
            lambda: not self.fence.closed,
            link.knows_hq,
        )
        self.link.open()

    def work(self) -> None:
        self.follow_sources()
        self.coordinate()

    def forget(self) -> None:
        self.link, self._coordinator, self._turning = None, None, False

    def heard_commit(self) -> None:
        if self.link is not None:
            self.link.push_what_is_new()

    def sources(self) -> list[Source[Any]]:
        return [self.orders, self.pool]

    def has_to_read(self, source: Source[Any]) -> bool:
        return int(self.read(place, source.system, source.feed) or 0) < len(source.records)

    def follow_sources(self) -> None:
        follow(self, self.orders, bss_sync.take_orders)
        follow(self, self.pool, _take_pool, int(self.name))

    # The province's own contacts

    def ask(self, request: LocalRequest) -> None:
        self.world.tell(self.name, "is asked for %s", request)
        self.write(local_requests.put, request)
        self.plan(self.world.random.random(), self.coordinate)

    def coordinate(self) -> None:
        """One turn of the coordinator, and another while something waits for HQ."""
        if self.working and self._coordinator is not None and not self._turning and self.rows(UNDECIDED):
            self._turning = True
            run(self._coordinator.turn(), self._turned)

    def _turned(self) -> None:
        self._turning = False
        if self.rows(UNDECIDED):
            self.plan(ASK_AGAIN_SECONDS * self.world.random.random(), self.coordinate)


def _take_pool(connection: Connection, record: Any, province: int, now: int) -> list[Any]:
    changes, msisdns = record
    return list(bss_sync.take_pool_changes(connection, changes, msisdns, province, now))
