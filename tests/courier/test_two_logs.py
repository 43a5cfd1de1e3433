"""The two logs against a hostile world: calls and answers are lost, doubled and reordered, either side crashes between
any two steps, and either side may come back from a backup."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from sqlalchemy import Column, Connection, Integer, MetaData, StaticPool, Table, create_engine, insert, select, update

from common.courier import cursor, log, tables
from common.courier.cursor import NOWHERE, Apply, Place
from common.courier.log import Entry

PEER, STREAM, NOW = "peer", "stream", 1_790_000_000
metadata = MetaData()
fact = Table("fact", metadata, Column("key", Integer, primary_key=True), Column("applied", Integer, nullable=False))


class Side:
    """A node's store: facts, its log or its cursor, and one backup."""

    def __init__(self) -> None:
        self._engine = create_engine("sqlite://", poolclass=StaticPool)
        with self.transaction() as connection:
            tables.metadata.create_all(connection)
            metadata.create_all(connection)
        self._backup: sqlite3.Connection | None = None

    @contextmanager
    def transaction(self, crash: bool = False) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            yield connection
            connection.rollback() if crash else connection.commit()

    def back_up(self) -> None:
        self._backup = sqlite3.connect(":memory:")
        self._raw().backup(self._backup)

    @property
    def has_backup(self) -> bool:
        return self._backup is not None

    def restore(self) -> None:
        assert self._backup is not None
        self._backup.backup(self._raw())

    def facts(self) -> dict[int, int]:
        with self.transaction() as connection:
            return {row.key: row.applied for row in connection.execute(select(fact))}

    def _raw(self) -> Any:
        return self._engine.raw_connection().driver_connection


def apply(connection: Connection, payload: bytes) -> None:
    """By business key, as every apply function of ours."""
    key = int(payload)
    if not connection.execute(update(fact).where(fact.c.key == key).values(applied=fact.c.applied + 1)).rowcount:
        connection.execute(insert(fact).values(key=key, applied=1))


def record(connection: Connection, keys: range) -> None:
    connection.execute(insert(fact), [{"key": key, "applied": 1} for key in keys])
    log.append(connection, PEER, STREAM, [b"%d" % key for key in keys], NOW)


class TwoSides(RuleBasedStateMachine):
    all_goes_well: Any
    sender_is_restored: Any
    receiver_is_restored: Any

    def __init__(self) -> None:
        super().__init__()
        self.sender, self.receiver = Side(), Side()
        self.next_key = 1
        self.restored = False

    @rule(count=st.integers(1, 4))
    def business_happens(self, count: int) -> None:
        with self.sender.transaction() as connection:
            record(connection, range(self.next_key, self.next_key + count))
        self.next_key += count

    @rule()
    def business_fails(self) -> None:
        with self.sender.transaction(crash=True) as connection:
            record(connection, range(self.next_key, self.next_key + 1))

    @rule(receiver=st.booleans())
    def back_up(self, receiver: bool) -> None:
        (self.receiver if receiver else self.sender).back_up()

    @rule(times=st.integers(1, 2), missed=st.integers(1, 3), later=st.integers(0, 4))
    def the_sender_forgets(self, times: int, missed: int, later: int) -> None:
        """The rules above find this too, but seldom: a backup, `missed` facts sent after it, and then the backup."""
        self.sender.back_up()
        for _ in range(times):
            self.business_happens(missed)
            self.all_goes_well()
            self.sender_is_restored()
        self.business_happens(1 + later)

    @rule(missed=st.integers(1, 3))
    def the_receiver_forgets(self, missed: int) -> None:
        self.receiver.back_up()
        self.business_happens(missed)
        self.all_goes_well()
        self.receiver_is_restored()

    def check_arrived(self) -> None:
        sent, arrived = self.sender.facts(), self.receiver.facts()
        assert sent.keys() <= arrived.keys(), "a fact was lost"
        if not self.restored:
            assert arrived == sent, "a fact was applied twice, or came from nowhere"


class Outbox(TwoSides):
    """The sender drives: it opens, appends, and drops what the receiver confirmed. Old sessions are fenced."""

    def __init__(self) -> None:
        super().__init__()
        self.fence = 0
        self.onward: Place | None = None
        self.calls: list[tuple[int, int, list[Entry]]] = []
        self.answers: list[tuple[int, Place]] = []

    @rule()
    def open(self) -> None:
        self.fence += 1
        with self.receiver.transaction() as connection:
            place = cursor.load(connection, PEER, STREAM)
        with self.sender.transaction() as connection:
            self.onward, tell_all = log.rejoin(connection, PEER, STREAM, place)
            if tell_all:
                keys = connection.execute(select(fact.c.key)).scalars().all()
                log.append(connection, PEER, STREAM, [b"%d" % key for key in keys], NOW)

    @precondition(lambda self: self.onward is not None)
    @rule(limit=st.integers(1, 3))
    def call(self, limit: int) -> None:
        assert self.onward is not None
        with self.sender.transaction() as connection:
            entries = log.read_after(connection, PEER, STREAM, self.onward.sequence, limit, 1_000)
        if entries:
            self.calls.append((self.fence, self.onward.epoch, entries))

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), again=st.booleans(), crash=st.booleans())
    def arrive(self, data: st.DataObject, again: bool, crash: bool) -> None:
        which = data.draw(st.integers(0, len(self.calls) - 1))
        fence, epoch, entries = self.calls[which] if again else self.calls.pop(which)
        if fence != self.fence:
            return
        place = self.take(epoch, entries, crash=crash)
        if not crash:
            self.answers.append((fence, place))

    @precondition(lambda self: self.answers)
    @rule(data=st.data(), lost=st.booleans())
    def answer(self, data: st.DataObject, lost: bool) -> None:
        fence, place = self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1)))
        if lost or fence != self.fence or self.onward is None:
            return
        with self.sender.transaction() as connection:
            known = log.commit(connection, PEER, STREAM, place)
            log.compact(connection, PEER, STREAM)
            kept = log.position(connection, PEER, STREAM)
        # A late answer may be behind compaction; the session then begins afresh.
        self.onward = max(self.onward, place, key=lambda p: p.sequence) if known else None
        assert kept.oldest <= kept.committed + 1

    @rule()
    def sender_crashes(self) -> None:
        self.onward = None

    @precondition(lambda self: self.sender.has_backup)
    @rule()
    def sender_is_restored(self) -> None:
        self.sender.restore()
        self.onward, self.restored = None, True
        self.next_key += 1_000

    @precondition(lambda self: self.receiver.has_backup)
    @rule()
    def receiver_is_restored(self) -> None:
        self.receiver.restore()
        self.fence += 1
        self.onward, self.restored = None, True

    @rule()
    def all_goes_well(self) -> None:
        """Nothing in the way: everything arrives and is confirmed."""
        self.open()
        while self.exchange():
            pass

    def exchange(self) -> bool:
        assert self.onward is not None
        with self.sender.transaction() as connection:
            entries = log.read_after(connection, PEER, STREAM, self.onward.sequence, 3, 1_000)
        if not entries:
            return False
        self.take(self.onward.epoch, entries, crash=False)
        self.onward = Place(self.onward.epoch, entries[-1].sequence, entries[-1].chain)
        with self.sender.transaction() as connection:
            assert log.commit(connection, PEER, STREAM, self.onward)
            log.compact(connection, PEER, STREAM)
        return True

    def take(self, epoch: int, entries: list[Entry], *, crash: bool) -> Place:
        """What the receiver does with a call; answers its place then."""
        with self.receiver.transaction(crash) as connection:
            place = cursor.load(connection, PEER, STREAM)
            verdict = cursor.admit(place, epoch, entries[0].sequence, entries[-1].sequence)
            if isinstance(verdict, Apply):
                for entry in entries[verdict.skip :]:
                    apply(connection, entry.payload)
                place = Place(epoch, entries[-1].sequence, entries[-1].chain)
                cursor.put(connection, PEER, STREAM, place)
            return place

    def teardown(self) -> None:
        self.all_goes_well()
        self.check_arrived()


class Feed(TwoSides):
    """The receiver drives: it watches from its place and confirms. A place that is gone is answered with a snapshot."""

    def __init__(self) -> None:
        super().__init__()
        self.confirmations: list[Place] = []
        self.at_rest = False

    @rule(limit=st.integers(1, 3), crash=st.booleans())
    def watch(self, limit: int, crash: bool) -> None:
        with self.receiver.transaction() as connection:
            place = cursor.load(connection, PEER, STREAM)
        with self.sender.transaction() as connection:
            in_step = log.in_step(connection, PEER, STREAM, place)
            payloads, onward = self._step(connection, place, limit) if in_step else self._reset(connection, place)
        with self.receiver.transaction(crash) as connection:
            for payload in payloads:
                apply(connection, payload)
            cursor.put(connection, PEER, STREAM, onward)
        if not crash:
            self.confirmations.append(onward)
        self.at_rest = not payloads and onward == place

    @rule()
    def all_goes_well(self) -> None:
        """Nothing in the way: everything arrives and is confirmed."""
        self.at_rest = False
        while not self.at_rest:
            self.watch(3, crash=False)
            with self.sender.transaction() as connection:
                log.commit(connection, PEER, STREAM, self.confirmations[-1])
                log.compact(connection, PEER, STREAM)

    def _step(self, connection: Connection, place: Place, limit: int) -> tuple[list[bytes], Place]:
        entries = log.read_after(connection, PEER, STREAM, place.sequence, limit, 1_000)
        if not entries:
            return [], place
        return [entry.payload for entry in entries], Place(place.epoch, entries[-1].sequence, entries[-1].chain)

    def _reset(self, connection: Connection, place: Place) -> tuple[list[bytes], Place]:
        self.restored |= place != NOWHERE
        if log.went_back(connection, PEER, STREAM, place):
            log.raise_epoch(connection, PEER, STREAM, above=place.epoch)
        everything = [b"%d" % key for key in connection.execute(select(fact.c.key)).scalars()]
        return everything, log.head_place(connection, PEER, STREAM)

    @precondition(lambda self: self.confirmations)
    @rule(data=st.data(), again=st.booleans())
    def confirm(self, data: st.DataObject, again: bool) -> None:
        which = data.draw(st.integers(0, len(self.confirmations) - 1))
        place = self.confirmations[which] if again else self.confirmations.pop(which)
        with self.sender.transaction() as connection:
            log.commit(connection, PEER, STREAM, place)
            log.compact(connection, PEER, STREAM)

    @precondition(lambda self: self.sender.has_backup)
    @rule()
    def sender_is_restored(self) -> None:
        self.sender.restore()
        self.restored = True
        self.next_key += 1_000

    @precondition(lambda self: self.receiver.has_backup)
    @rule()
    def receiver_is_restored(self) -> None:
        self.receiver.restore()
        self.restored = True

    def teardown(self) -> None:
        self.all_goes_well()
        self.check_arrived()


run = settings(max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))
Outbox.TestCase.settings = run
Feed.TestCase.settings = run
TestOutbox = Outbox.TestCase
TestFeed = Feed.TestCase
