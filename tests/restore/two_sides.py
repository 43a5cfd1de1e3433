"""HQ and a province as two stores in memory, and all that a link does between them, without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from sqlite3 import Connection as Raw
from typing import Any, cast

from liandong.federation.v1 import feed_pb2, uplink_pb2
from sqlalchemy import Connection, StaticPool, create_engine

from common.courier import tables as courier_tables
from common.courier.cursor import Place
from common.courier.standing import Known
from common.delivery import fence, sweep
from common.delivery import tables as delivery_tables
from common.kernel.channel import CHANNELS
from common.kernel.incarnation import Incarnation
from common.wire import codec
from common.wire.streams import TOPICS
from hq import link as hq_link
from hq.store import provinces
from hq.store import tables as hq_tables
from hq.store.sessions import Session
from province import link
from province.inbox import Inbox
from province.store import tables as province_tables
from province.uplink import HqOutlet
from tests.restore.machine import Still

CODE = "45"
TABLES = (courier_tables, delivery_tables, hq_tables, province_tables)


class Store:
    def __init__(self) -> None:
        self._engine = create_engine("sqlite://", poolclass=StaticPool)
        for tables in TABLES:
            tables.metadata.create_all(self._engine)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        with self.transaction() as connection:
            return work(connection, *arguments)

    def copy(self) -> Store:
        made = Store()
        self._raw.backup(made._raw)
        return made

    @property
    def _raw(self) -> Raw:
        return cast("Raw", self._engine.raw_connection().driver_connection)


@dataclass
class Sides:
    hq: Store = field(default_factory=Store)
    province: Store = field(default_factory=Store)
    inbox: Inbox = field(default_factory=lambda: Inbox(CHANNELS))

    def __post_init__(self) -> None:
        self.hq.do(provinces.enroll, CODE, 0)
        self.sessions = 0

    def meet(self, now: int) -> None:
        """A session opens, and each side has all that the other has to tell."""
        self.sessions += 1
        ask = Session(CODE, str(self.sessions), 0, now + 60, 1)
        standing = self.province.do(link.standing)
        opened = self.hq.do(lambda at: hq_link.open_session(at, ask, "", now, leap=0, takeover=True, standing=standing))
        self._fence = opened.session.fence
        known = Known(opened.incarnation, opened.outbox, opened.feed)
        self._sent: dict[str, Place] = self.province.do(link.join, known, now)
        self.exchange(now)

    def exchange(self, now: int) -> None:
        """Until neither side has more to tell, and what follows at the province."""
        while any([self._up(now), self._down(now), self._sweep(now)]):
            pass

    def hear(self, now: int) -> None:
        """The province reads what HQ has to tell now, and says nothing."""
        while self._down(now):
            pass

    def put_back(self, backup: Store, now: int) -> None:
        """The province's store is that of the backup again, and a new incarnation has begun there."""
        self.province = backup
        while backup.do(fence.give_up, CODE, now, HqOutlet(Still())):
            pass
        backup.do(fence.put, Incarnation(now, 1, now))
        backup.do(link.begin_incarnation)

    def _up(self, now: int) -> int:
        sent = 0
        for stream, place in self._sent.items():
            if entries := self.province.do(link.unsent, stream, place):
                at = Place(place.epoch, entries[-1].sequence, entries[-1].chain)
                values = [
                    codec.read_outbox_entry(uplink_pb2.OutboxEntry.FromString(each.payload), CODE) for each in entries
                ]
                pushed = hq_link.Pushed(self._fence, entries[0].sequence, at)
                self._sent[stream], _ = self.hq.do(hq_link.append, CODE, stream, pushed, values, now)
                assert self.province.do(link.committed, stream, self._sent[stream])
                sent += len(entries)
        return sent

    def _down(self, now: int) -> int:
        return sum(self._read(topic, now) for topic in TOPICS)

    def _read(self, topic: str, now: int) -> int:
        place = self.province.do(link.place, topic)
        found = self.hq.do(hq_link.look, CODE, topic, self._fence, place, 1000)
        if isinstance(found, int):
            return 0
        if found is None:
            to, pieces = self.hq.do(hq_link.reset, CODE, topic, self._fence, place)
            payloads = [self.hq.do(hq_link.payload, piece) for piece in pieces]
        else:
            to, payloads = Place(place.epoch, found[-1].sequence, found[-1].chain), [each.payload for each in found]
        values = [codec.read_feed_entry(feed_pb2.FeedEntry.FromString(each), CODE) for each in payloads]
        self.province.do(link.apply, self.inbox, topic, values, to, now)
        self.hq.do(hq_link.commit, CODE, topic, self._fence, to)
        return 1

    def _sweep(self, now: int) -> int:
        outlet, due = HqOutlet(Still()), self.province.do(sweep.due, CODE, CHANNELS, now)
        for order, number in due:
            self.province.do(sweep.sweep_block, order, number, now, CHANNELS[order.channel], (), outlet)
        return len(due) + int(self.province.do(sweep.finish_all, CODE, outlet))
