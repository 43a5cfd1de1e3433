from __future__ import annotations

import asyncio
import time as real_time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import time
from typing import Any

import numpy as np
import pytest

from common.delivery import lane as lane_module
from common.delivery import ledger
from common.delivery.claim import Claimed, Contacts, claim
from common.delivery.runner import Runner
from common.kernel.channel import (
    Channel,
    NeverAccepted,
    NoAnswer,
    OutboundBatch,
    SendAnswer,
    SendOutcome,
    VendorTerms,
)
from common.kernel.policy import DEFAULT
from common.kernel.task import TaskState
from common.kernel.work_order import WorkOrderState
from common.runtime.database import Database

NOON = 1_800_000_000
NAME = "c/1/sms/hq"


@dataclass
class Wall:
    """A wall clock set by hand over real elapsed time."""

    at: int = NOON

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return real_time.monotonic()


@dataclass
class Vendor:
    """A vendor in this process; `faults` says what happens to its calls, in order, `taken` counts what reached it."""

    dedupe_seconds: int = 86_400
    batch_max: int = 500
    faults: list[str] = field(default_factory=list)
    taken: Counter[int] = field(default_factory=Counter)
    submit_bys: list[int] = field(default_factory=list)

    async def terms(self) -> VendorTerms:
        return VendorTerms(self.batch_max, 1_000_000, self.dedupe_seconds)

    async def send(self, batch: OutboundBatch) -> SendAnswer:
        assert len(batch.tasks) <= self.batch_max
        assert len(batch.tasks) == len(batch.msisdns) == len(batch.text_refs)
        self.submit_bys.append(batch.submit_by)
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "never":
            raise NeverAccepted("down")
        if fault == "lost before":
            raise NoAnswer("cut before it arrived")
        outcomes = np.full(len(batch.tasks), SendOutcome.ACCEPTED, dtype=np.uint8)
        if fault == "throttle":
            outcomes[::2] = SendOutcome.THROTTLED
        for place, task in enumerate(batch.tasks.tolist()):
            if self.dedupe_seconds and self.taken[task]:
                outcomes[place] = SendOutcome.DUPLICATE
            elif outcomes[place] == SendOutcome.ACCEPTED:
                self.taken[task] += 1
        if fault == "lost after":
            raise NoAnswer("cut after it arrived")
        return SendAnswer(outcomes)

    async def close(self) -> None: ...


@pytest.fixture
def drive(sqlite_file: Database, channel: Channel, memo: Any) -> Callable[..., Any]:
    """Run a runner until the check holds."""

    def run(
        vendor: Vendor, until: Callable[[dict[TaskState, int]], bool], wall: Wall | None = None, **changed: Any
    ) -> Any:
        async def main() -> dict[TaskState, int]:
            used = replace(channel, **changed)
            ports = {"sms": vendor}
            runner = Runner(sqlite_file, wall or Wall(), {"sms": used}, ports, memo, "hq", lambda: None)
            running = asyncio.create_task(runner.run())
            try:
                async with asyncio.timeout(20):
                    while not until(counted := await sqlite_file.read(ledger.counts, NAME)):
                        assert not running.done(), running.exception()
                        await asyncio.sleep(0.01)
            finally:
                running.cancel()
                await asyncio.wait({running})
            return counted

        return asyncio.run(main())

    return run


@pytest.fixture
def sqlite_file(tmp_path: Any) -> Any:
    from common.delivery import tables

    database = Database(f"sqlite:///{tmp_path / 'node.db'}")
    database.create(tables.metadata)
    yield database
    database.close()


def stored(database: Database, issue: Any, audience: Any, **changed: Any) -> Any:
    with database.transaction() as connection:
        return issue(connection, audience, **changed)


def all_submitted(counted: dict[TaskState, int]) -> bool:
    return not counted[TaskState.OPEN] and not counted[TaskState.SUBMITTING]


def test_everybody_is_sent_to_once(sqlite_file: Database, people: Any, issue: Any, drive: Any) -> None:
    stored(sqlite_file, issue, people(10_700))
    vendor = Vendor()
    assert drive(vendor, all_submitted)[TaskState.SUBMITTED] == 10_700
    assert set(vendor.taken.values()) == {1}
    assert len(vendor.taken) == 10_700


def test_what_never_arrived_and_what_was_throttled_is_sent_again(
    sqlite_file: Database, people: Any, issue: Any, drive: Any
) -> None:
    stored(sqlite_file, issue, people(2_000))
    vendor = Vendor(dedupe_seconds=0, faults=["never", "throttle", "never", "throttle", "throttle"])
    assert drive(vendor, all_submitted)[TaskState.SUBMITTED] == 2_000
    assert Counter(vendor.taken.values()) == {1: 2_000}


def test_unanswered_batches_are_settled_by_sending_the_same_ids_again(
    sqlite_file: Database, people: Any, issue: Any, drive: Any
) -> None:
    stored(sqlite_file, issue, people(2_000))
    vendor = Vendor(faults=["lost after", "lost before", "", "lost after", "lost before", "never", "lost after"])
    assert drive(vendor, all_submitted)[TaskState.SUBMITTED] == 2_000
    assert Counter(vendor.taken.values()) == {1: 2_000}


def test_a_vendor_that_knows_no_repeats_gets_nothing_twice(
    sqlite_file: Database, people: Any, issue: Any, drive: Any
) -> None:
    stored(sqlite_file, issue, people(2_000))
    vendor = Vendor(dedupe_seconds=0, faults=["lost after", "lost before", "", "never", "throttle"])
    counted = drive(vendor, all_submitted)
    assert counted[TaskState.UNKNOWN] == 1_000
    assert counted[TaskState.SUBMITTED] == 1_000
    assert set(vendor.taken.values()) == {1}


@pytest.mark.parametrize(("dedupe_seconds", "end"), [(0, TaskState.UNKNOWN), (86_400, TaskState.SUBMITTED)])
def test_what_a_crash_left_is_settled_at_the_next_start(
    sqlite_file: Database,
    people: Any,
    issue: Any,
    drive: Any,
    memo: Any,
    channel: Channel,
    dedupe_seconds: int,
    end: TaskState,
) -> None:
    order = stored(sqlite_file, issue, people(600))
    with sqlite_file.transaction() as connection:
        booked = claim(connection, order, 0, NOON, channel, 400, memo).block.first_task
    vendor = Vendor(dedupe_seconds, taken=Counter(range(booked, booked + 400)))
    counted = drive(vendor, all_submitted)
    assert counted[end] >= 400
    assert sum(counted.values()) == 600
    assert Counter(vendor.taken.values()) == {1: 600}


def test_nothing_is_sent_in_quiet_hours_or_while_paused(
    sqlite_file: Database, people: Any, issue: Any, drive: Any
) -> None:
    stored(sqlite_file, issue, people(50))
    vendor, started = Vendor(), real_time.monotonic()

    def half_a_second_passed(_: object) -> bool:
        return real_time.monotonic() > started + 0.5

    drive(vendor, half_a_second_passed, quiet_from=time(0), quiet_until=time(23, 59, 59))
    with sqlite_file.transaction() as connection:
        ledger.set_state(connection, NAME, WorkOrderState.PAUSED)
    started = real_time.monotonic()
    drive(vendor, half_a_second_passed)
    assert not vendor.taken
    with sqlite_file.transaction() as connection:
        ledger.set_state(connection, NAME, WorkOrderState.ACCEPTED)
    drive(vendor, all_submitted)
    assert len(vendor.taken) == 50


def test_what_can_be_sent_no_more_is_not_waited_for(sqlite_file: Database, people: Any, issue: Any, drive: Any) -> None:
    """Else tasks would be open for as long as a vendor is given to take them, with their validity long over."""
    stored(sqlite_file, issue, people(10))
    wall, vendor = Wall(), Vendor(faults=["never"] * 1_000)

    def expired(counted: dict[TaskState, int]) -> bool:
        wall.at += 1 if not vendor.submit_bys else 86_400
        return counted[TaskState.EXPIRED] == 10

    drive(vendor, expired, wall)
    assert len(vendor.submit_bys) < 5


def test_nothing_is_sent_after_submit_by(
    sqlite_file: Database, people: Any, issue: Any, drive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "SUBMIT_SECONDS", 0.3)
    stored(sqlite_file, issue, people(10))
    vendor, started = Vendor(faults=["never"] * 1000), real_time.monotonic()
    # A vendor that is down: booked, returned, booked again, each time with a new submit_by and never past it.
    wall = Wall()

    def tick(counted: dict[TaskState, int]) -> bool:
        wall.at = NOON + int(10 * (real_time.monotonic() - started))
        return real_time.monotonic() > started + 1.5

    counted = drive(vendor, tick, wall)
    assert sum(counted.values()) == 10
    assert len(set(vendor.submit_bys)) > 1
    assert not vendor.taken


def test_a_booking_that_took_too_long_is_never_sent(
    sqlite_file: Database, people: Any, issue: Any, drive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "SUBMIT_SECONDS", 0)
    stored(sqlite_file, issue, people(10))
    vendor, started = Vendor(), real_time.monotonic()
    drive(vendor, lambda _: real_time.monotonic() > started + 0.5)
    assert vendor.submit_bys == []


def test_time_alone_settles_what_is_left(sqlite_file: Database, people: Any, issue: Any, drive: Any, memo: Any) -> None:
    stored(sqlite_file, issue, people(40))
    vendor, wall = Vendor(), Wall()
    drive(vendor, all_submitted, wall)
    wall.at += 48 * 3600 - 1
    drive(vendor, lambda counted: True, wall)
    wall.at += 2
    counted = drive(vendor, lambda counted: counted[TaskState.UNKNOWN] == 40, wall)
    assert sum(counted.values()) == 40
    assert memo.finished_orders == [NAME]
    assert len(memo.settled_rows) == 40


def test_the_open_remainder_expires_with_the_validity_or_is_cancelled(
    sqlite_file: Database, people: Any, issue: Any, drive: Any, memo: Any
) -> None:
    stored(sqlite_file, issue, people(40), state=WorkOrderState.PAUSED)
    drive(Vendor(), lambda counted: counted[TaskState.EXPIRED] == 40, Wall(NOON + 3600))
    assert memo.finished_orders == [NAME]
    stored(sqlite_file, issue, people(30), name="d/1/sms/hq", state=WorkOrderState.CANCELLED)

    def cancelled(_: dict[TaskState, int]) -> bool:
        with sqlite_file.snapshot() as connection:
            suppressed = ledger.counts(connection, "d/1/sms/hq")[TaskState.SUPPRESSED]
        return suppressed == 30 and len(memo.finished_orders) == 2

    drive(Vendor(), cancelled)


def test_a_batch_carries_the_texts_it_uses_and_each_message_its_own(
    sqlite_file: Database, people: Any, issue: Any, channel: Channel
) -> None:
    order = stored(sqlite_file, issue, people(40))
    with sqlite_file.snapshot() as connection:
        block = ledger.load_block(connection, order.name, 0)
    assert block is not None
    texts = tuple(f"text {number}" for number in range(40))
    personal = replace(block, texts=texts, text_refs=np.arange(40, dtype=np.uint32)[::-1])
    rows = np.arange(40)
    batch = lane_module._batch(Claimed(order, personal, rows, rows, submit_by=NOON, policy=DEFAULT), slice(10, 15))
    assert sorted(batch.texts) == sorted(texts[25:30])
    assert [batch.texts[ref] for ref in batch.text_refs.tolist()] == [texts[39 - row] for row in range(10, 15)]


def test_nobody_is_contacted_whom_the_node_may_not_contact_at_the_moment(
    sqlite_file: Database, people: Any, issue: Any, channel: Channel, memo: Any
) -> None:
    stored(sqlite_file, issue, people(40))
    allowed = Contacts.NOBODY

    async def main() -> list[dict[TaskState, int]]:
        nonlocal allowed
        runner = Runner(
            sqlite_file, Wall(), {"sms": channel}, {"sms": Vendor()}, memo, "hq", lambda: None, lambda _policy: allowed
        )
        running = asyncio.create_task(runner.run())
        await asyncio.sleep(0.6)
        nobody = await sqlite_file.read(ledger.counts, NAME)
        allowed = Contacts.OWN
        await asyncio.sleep(0.6)
        own = await sqlite_file.read(ledger.counts, NAME)
        allowed = Contacts.ALL
        async with asyncio.timeout(20):
            while (counted := await sqlite_file.read(ledger.counts, NAME))[TaskState.OPEN]:  # noqa: ASYNC110 - the database is asked
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait({running})
        return [nobody, own, counted]

    nobody, own, counted = asyncio.run(main())
    assert nobody[TaskState.OPEN] == own[TaskState.OPEN] == 40, "these are leased from HQ"
    assert counted[TaskState.OPEN] == 0
