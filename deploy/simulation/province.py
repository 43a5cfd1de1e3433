"""A simulated province."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from common.kernel.channel import CHANNELS, Level
from common.kernel.columns import Codes
from common.kernel.order import OrderRecords
from common.kernel.refusal import Refusal
from deploy.simulation.link import Link
from deploy.simulation.network import NoReply
from deploy.simulation.node import Node
from deploy.simulation.source import Source, follow
from province import admission, bss_sync, policies
from province.admission import Ungranted
from province.coordination import Books
from province.coordinator import BOOKS_SECONDS, FINAL
from province.inbox import Inbox
from province.local_request import LocalRequest
from province.store import coordination, local_requests
from province.uplink import HqOutlet

if TYPE_CHECKING:
    from deploy.simulation.headquarters import Headquarters
    from deploy.simulation.world import World

UNDECIDED = f"SELECT 1 FROM local_request WHERE state <> {int(local_requests.State.DONE)} LIMIT 1"  # noqa: S608
ASK_AGAIN_SECONDS = 900.0


class Province(Node):
    def __init__(self, world: World, code: str, hq: Headquarters) -> None:
        super().__init__(world, code, {n: c for n, c in CHANNELS.items() if c.level is Level.TWO})
        self.inbox = Inbox(self.channels)
        self.outlet = HqOutlet(self.clock)
        self.orders = Source[OrderRecords]("bss", "orders")
        self.pool = Source[Any]("bss", "pool")
        self._hq = hq
        self.link = Link(self, hq)
        self._books: Books | None = None
        self._asking = False

    def start(self) -> None:
        self.write(policies.judge_again, self.clock.now())
        self.link = Link(self, self._hq)
        self.link.open()
        self.follow_sources()
        self.coordinate()

    def forget(self) -> None:
        self._books, self._asking = None, False

    def heard_commit(self) -> None:
        self.link.push_what_is_new()

    def may_contact(self, seconds: int) -> bool:
        return self.link.stops_are_fresh(seconds)

    def follow_sources(self) -> None:
        follow(self, self.orders, bss_sync.take_orders)
        follow(self, self.pool, _take_pool, int(self.name))

    # The province's own contacts

    def ask(self, request: LocalRequest) -> None:
        self.world.tell(self.name, "is asked for %s", request)
        self.write(local_requests.put, request)
        self.plan(self.world.random.random(), self.coordinate)

    def coordinate(self) -> None:
        """As the coordinator's turn."""
        if not self.rows(UNDECIDED):
            return
        if self.read(local_requests.waiting, 1):
            self._admit()
        if not self._asking:
            self._ask_hq()

    def _admit(self) -> None:
        now, books = self.clock.now(), self._books
        if books is None or not 0 <= now - books.opened_at < BOOKS_SECONDS:
            books = self.read(coordination.books, now)
        self._books = None
        self._books = self.write(admission.admit, books, self.name, self.outlet, now)
        self.wake_lanes()
        if self._books is None:
            self.plan(1, self.coordinate)

    def _ask_hq(self) -> None:
        for lacking in self.read(_ungranted):
            if lacking.asked.end_at <= self.clock.now():
                self.write(admission.answered, lacking, "HQ gave no answer before the validity ended")
            else:
                self._asking = True
                self.link.acquire(lacking.asked, lambda answer, lacking=lacking: self._granted(lacking, answer))
                return

    def _granted(self, lacking: Ungranted, answer: Codes | Refusal | NoReply) -> None:
        self._asking = False
        self.world.tell(self.name, "hears of grant %s: %r", lacking.asked.request_id, answer)
        if isinstance(answer, NoReply) or (isinstance(answer, Refusal) and answer.fault not in FINAL):
            self.plan(ASK_AGAIN_SECONDS * self.world.random.random(), self.coordinate)
            return
        self.write(admission.answered, lacking, answer.message if isinstance(answer, Refusal) else answer)
        self.coordinate()


def _ungranted(connection: Connection) -> list[Ungranted]:
    return list(admission.ungranted(connection))


def _take_pool(connection: Connection, record: Any, province: int, now: int) -> list[Any]:
    changes, msisdns = record
    return list(bss_sync.take_pool_changes(connection, changes, msisdns, province, now))
