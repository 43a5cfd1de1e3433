"""A province that lives through days in this process: store, engine, coordinator and lanes as they are wired."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, insert, select

from adapters.channels.journal import Journal, read_journal
from adapters.streams import partitions
from adapters.streams.file_source import FileSource
from adapters.streams.journal import Block, Form, JournalSource, Writer
from adapters.streams.standard import Edge
from common.courier import tables as courier_tables
from common.delivery import ledger, vault
from common.delivery import tables as delivery_tables
from common.delivery.runner import Runner
from common.delivery.tables import policy as policy_table
from common.kernel.channel import CHANNELS, OutboundBatch, SendAnswer, SendOutcome, VendorTerms
from common.kernel.columns import Keys
from common.kernel.order import PoolChange
from common.kernel.pool import PoolChanges
from common.kernel.subscriber import subscriber_keys
from common.kernel.work_order import WorkOrderState
from common.runtime.database import Database
from province.bss_sync import take_pool_changes
from province.coordinator import Coordinator
from province.fire import Firing
from province.store import tables
from province.store import triggers as stored_triggers
from province.triggers.engine.checkpoint import Checkpoints
from province.triggers.engine.dead_letters import DeadLetterBox
from province.triggers.engine.engine import Engine, Pacing, Ports, RuleBook
from province.triggers.engine.source import Source
from province.triggers.hand_over import hand_over
from province.triggers.node import StoredRules
from province.uplink import HqOutlet

CODE, PARTITIONS = "45", 2
FEDERATION_KEY = b"m" * 32
POLICY = "mode: shared\ncaps:\n  - {scope: all, contacts: 2, per: 20h, province_share: 1}\n"
"""One contact of a province's own a day, if it is made at noon."""


def noon(day: date) -> int:
    """In China."""
    return int(datetime(day.year, day.month, day.day, 4, tzinfo=UTC).timestamp())


def keys_of(numbers: Sequence[int]) -> Keys:
    return np.array(subscriber_keys(FEDERATION_KEY, list(numbers)), dtype=np.int64)


@dataclass
class Wall:
    """A clock set by hand."""

    time: int

    def now(self) -> int:
        return self.time

    def monotonic(self) -> float:
        return float(self.time)


class Vendor:
    """It keeps what it takes as the simulated one does, and takes everything."""

    def __init__(self, journal: Path, wall: Wall) -> None:
        self._journal, self._wall = Journal(journal), wall

    async def terms(self) -> VendorTerms:
        return VendorTerms(500, 100_000, 86_400)

    async def send(self, batch: OutboundBatch) -> SendAnswer:
        values = {"channel": batch.channel, "work_order": batch.work_order, "accepted_at": self._wall.now(),
                  "expire_at": batch.expire_at}  # fmt: skip
        self._journal.append([(values, {"tasks": batch.tasks, "msisdns": np.array(batch.msisdns, dtype=np.int64)})])
        return SendAnswer(np.full(len(batch.tasks), SendOutcome.ACCEPTED, dtype=np.uint8))

    async def close(self) -> None:
        self._journal.close()


@dataclass(frozen=True, slots=True)
class Day:
    """`left`: numbers whose contract ends that day. `events` come in at noon, as a push brings them."""

    day: date
    events: Sequence[bytes]
    left: Sequence[int] = ()


class Province:
    """Its people are those of `numbers`, its rules those of `documents` by name."""

    def __init__(
        self,
        directory: Path,
        numbers: Sequence[int],
        documents: Mapping[str, str],
        channels: Sequence[str] = ("local_sms",),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.wall = directory, Wall(noon(date(2018, 1, 1)))
        self.channels = {name: CHANNELS[name] for name in channels}
        self.store = Database(f"sqlite:///{directory / 'province.db'}")
        self.store.create(courier_tables.metadata, delivery_tables.metadata, tables.metadata)
        row = {"version": 1, "document": POLICY, "received_at": 1, "objection": ""}
        with self.store.transaction() as connection:
            vault.put_subscribers(connection, keys_of(numbers), np.array(numbers, dtype=np.int64), int(CODE))
            connection.execute(insert(policy_table).values(row))
            for name, text in documents.items():
                stored_triggers.put_local(connection, name, text, False, 1)

    def engine(self, source: Source, rules: RuleBook | None = None) -> Engine:
        kept = self.directory / "triggers"
        boxes = Checkpoints(kept), DeadLetterBox(kept)
        ports = Ports(
            source,
            rules or StoredRules(self.store, int(CODE), self.directory / "people"),
            self._hand_over,
            *boxes,
            self.millis,
        )
        return Engine(ports, Pacing(idle_seconds=None, hand_over_seconds=0.0))

    def edge(self) -> Edge:
        return Edge(self.millis(), lambda numbers: keys_of(numbers.tolist()))

    def millis(self) -> int:
        return self.wall.now() * 1000

    async def live(self, days: Sequence[Day], each_day: Callable[[Writer], object] = lambda _events: None) -> None:
        """BSS tells who left, events come in, `each_day` does what else is done a day, and offers go out."""
        outlet, writer = HqOutlet(self.wall), Writer(self.directory / "events", PARTITIONS)
        vendor = Vendor(self.directory / "accepted.journal", self.wall)
        ports = dict.fromkeys(self.channels, vendor)
        runner = Runner(self.store, self.wall, self.channels, ports, outlet, CODE, lambda: None)
        coordinator = Coordinator(self.store, self.wall, CODE, outlet, runner.wake, _no_answer)
        running = asyncio.create_task(runner.run())
        engine = self.engine(JournalSource(self.directory / "events", self.edge))
        for each in days:
            self.wall.time = noon(each.day)
            self._leave(each.left)
            push(writer, each.events)
            each_day(writer)
            while engine.turn(0.0):
                pass
            await coordinator.decide()
            await self._all_sent()
        running.cancel()
        await asyncio.wait({running})
        await vendor.close()
        engine.close()
        writer.close()

    def play(self, source: FileSource, rules: RuleBook | None = None) -> None:
        engine = self.engine(source, rules)
        while not source.ended:
            engine.turn(0.0)
        engine.close()

    def fires(self) -> set[tuple[str, int, int]]:
        """(rule, subscriber key, period)."""
        of = tables.fire.c
        with self.store.snapshot() as connection:
            return {tuple(row) for row in connection.execute(select(of.rule, of.subscriber_key, of.period))}  # type: ignore[misc]

    def contacts(self) -> Counter[tuple[str, int, date]]:
        """(rule, number, day), how often a vendor took it."""
        return Counter(
            (batch.work_order.split("/")[2], number, _day(batch.accepted_at))
            for batch in read_journal(self.directory / "accepted.journal")
            for number in batch.msisdns.tolist()
        )

    def _hand_over(self, firings: Sequence[Firing]) -> None:
        with self.store.transaction() as connection:
            hand_over(connection, firings, self.channels, int(CODE), self.millis())

    def _leave(self, left: Sequence[int]) -> None:
        columns = np.full(len(left), PoolChange.LEFT, np.uint8), np.full(len(left), self.wall.now(), np.uint32)
        changes = PoolChanges(keys_of(left), *columns)
        with self.store.transaction() as connection:
            take_pool_changes(connection, changes, np.array(left, dtype=np.int64), int(CODE), self.wall.now())

    async def _all_sent(self) -> None:
        async with asyncio.timeout(20):
            while await self.store.read(self._to_send):  # noqa: ASYNC110 - what the store says rings no bell
                await asyncio.sleep(0.002)

    def _to_send(self, connection: Connection) -> bool:
        states = [WorkOrderState.ACCEPTED]
        return any(ledger.work_orders_to_send(connection, CODE, name, states) for name in self.channels)


async def _no_answer(_asked: object) -> None:
    return None


def push(writer: Writer, events: Sequence[bytes]) -> None:
    """A person is always in one partition."""
    for number, values in partitions.split_json(list(events), PARTITIONS):
        writer.append([Block(number, Form.JSON, values)])


def _day(at: int) -> date:
    """In China."""
    return datetime.fromtimestamp(at + 8 * 3600, UTC).date()
