"""A block of people who live by different clocks: those awake are contacted, the others in their own morning."""

from __future__ import annotations

import asyncio
import time as real_time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlalchemy import Connection, insert, update

from common.delivery import claim as claims
from common.delivery import lane as lanes
from common.delivery import ledger, vault
from common.delivery.claim import Claimed, Contacts, claim, reclaim, take
from common.delivery.lane import Delivery, Lane
from common.delivery.runner import Runner
from common.delivery.tables import policy, work_order
from common.kernel.channel import CHANNELS, NeverAccepted, OutboundBatch, SendAnswer, SendOutcome, VendorTerms
from common.kernel.policy import Policy
from common.kernel.task import TaskReason, TaskState
from common.kernel.task_block import open_block
from common.kernel.work_order import WorkOrder, WorkOrderState
from common.runtime.database import Database
from tests.delivery.conftest import Memo

SMS = CHANNELS["sms"]
NAME = "c/1/sms/hq"
PEOPLE = 100
"""Keys 1 to 100; the even ones live in Xinjiang by Urumqi's clock, two hours behind."""
TERMS = VendorTerms(500, 1_000_000, 86_400)
XINJIANG = """\
mode: shared
caps: [{scope: all, contacts: 2, per: 24h}]
zones: {"65": Asia/Urumqi}
"""


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Shanghai")).timestamp())


EVENING, NIGHT, MORNING, LATE = (at(f"2026-03-0{each}") for each in ("2T21:30", "2T23:30", "3T09:30", "3T11:00"))
NOON = at("2026-03-02T12:00")


@pytest.fixture
def do(database: Database) -> Callable[..., Any]:
    def run(work: Callable[..., Any], *arguments: Any) -> Any:
        with database.transaction() as connection:
            return work(connection, *arguments)

    run(_issue)
    return run


def _issue(connection: Connection) -> None:
    connection.execute(insert(policy).values(version=1, document=XINJIANG, received_at=0, objection=""))
    keys = np.arange(1, PEOPLE + 1, dtype=np.int64)
    vault.put_subscribers(connection, keys, keys + 8_613_800_000_000, np.where(keys % 2, 45, 65))
    ledger.put_work_order(connection, _order())
    ledger.insert_block(connection, open_block(NAME, 0, keys, ("您好",), np.zeros(PEOPLE, dtype=np.uint32)))


def _order(**changed: Any) -> WorkOrder:
    fields = {"state": WorkOrderState.ACCEPTED, "policy_version": 1} | changed
    return WorkOrder(NAME, "c", 1, "sms", "hq", "offer", EVENING - 86_400, LATE + 86_400, 1, PEOPLE, **fields)


def _claim(connection: Connection, now: int, limit: int = 1_000) -> Claimed:
    return claim(connection, _order(), 0, now, SMS, limit, Memo())


def _keys(claimed: Claimed) -> set[int]:
    return set(claimed.block.keys[claimed.rows].tolist())


EAST, WEST = set(range(1, PEOPLE + 1, 2)), set(range(2, PEOPLE + 1, 2))


def test_in_the_evening_only_the_west_is_contacted(do: Callable[..., Any]) -> None:
    claimed = do(_claim, EVENING)
    assert (_keys(claimed), claimed.zones) == (WEST, ("Asia/Urumqi",))
    assert claimed.asleep_until == at("2026-03-03T09:00")
    again = do(_claim, EVENING)
    assert (len(again.rows), again.asleep_until) == (0, at("2026-03-03T09:00"))


def test_in_the_morning_only_the_east_and_later_everybody(do: Callable[..., Any]) -> None:
    claimed = do(_claim, MORNING)
    assert (_keys(claimed), claimed.zones) == (EAST, ("Asia/Shanghai",))
    assert claimed.asleep_until == at("2026-03-03T11:00")
    assert _keys(do(_claim, LATE)) == WEST


def test_by_day_all_are_contacted_at_once_and_at_night_nobody(do: Callable[..., Any]) -> None:
    assert len(do(_claim, NIGHT).rows) == 0
    claimed = do(_claim, NOON)
    assert (_keys(claimed), claimed.asleep_until) == (EAST | WEST, 0)
    assert claimed.zones == ("Asia/Shanghai", "Asia/Urumqi")


def test_who_sleeps_is_neither_suppressed_nor_decided_about(do: Callable[..., Any]) -> None:
    do(vault.set_active, np.array([1, 2]), np.zeros(2, dtype=np.bool_))
    do(_claim, EVENING)
    block = do(ledger.load_block, NAME, 0)
    assert [TaskState(state) for state in block.states[:2]] == [TaskState.OPEN, TaskState.SUPPRESSED]
    assert TaskReason(block.reasons[1]) is TaskReason.INACTIVE


def test_what_is_unanswered_waits_for_the_morning_too(do: Callable[..., Any]) -> None:
    do(_claim, NOON)
    resent = do(reclaim, _order(), 0, EVENING, SMS, TERMS, Memo())
    assert (_keys(resent), resent.asleep_until) == (WEST, at("2026-03-03T09:00"))
    states = do(ledger.load_block, NAME, 0).states
    assert (states == TaskState.SUBMITTING).all()


def test_a_work_order_waits_for_the_policy_it_was_issued_by(do: Callable[..., Any]) -> None:
    def issued_by(connection: Connection, version: int) -> None:
        connection.execute(update(work_order).values(policy_version=version))

    do(issued_by, 2)
    assert do(take, "hq", SMS, TERMS, NOON, 10, set(), Memo()) == []
    do(issued_by, 1)
    assert [len(claimed.rows) for claimed in do(take, "hq", SMS, TERMS, NOON, 10, set(), Memo())] == [10]


@dataclass
class Wall:
    at: int

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return real_time.monotonic()


@dataclass
class Vendor:
    tasks: list[int] = field(default_factory=list)

    async def terms(self) -> VendorTerms:
        return TERMS

    async def send(self, batch: OutboundBatch) -> SendAnswer:
        self.tasks += batch.tasks.tolist()
        return SendAnswer(np.full(len(batch.tasks), SendOutcome.ACCEPTED, dtype=np.uint8))

    async def close(self) -> None: ...


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_lane_leaves_a_sleeping_block_alone_and_comes_back(
    database: Database, do: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    tried = claims._awake

    def counted(*arguments: Any) -> Any:
        tries.append(1)
        return tried(*arguments)

    monkeypatch.setattr(claims, "_awake", counted)
    monkeypatch.setattr(lanes, "ASLEEP_SECONDS_MAX", 0.7)
    vendor, wall = Vendor(), Wall(EVENING)

    async def story() -> None:
        runner = Runner(database, wall, {"sms": SMS}, {"sms": vendor}, Memo(), "hq", lambda: None)
        running = asyncio.create_task(runner.run())
        await asyncio.sleep(1.2)
        assert {task + 1 for task in vendor.tasks} == WEST
        assert len(tries) <= 4
        wall.at = LATE
        async with asyncio.timeout(5):
            while {task + 1 for task in vendor.tasks} != EAST | WEST:  # noqa: ASYNC110 - other threads fill it
                await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.wait({running})

    asyncio.run(story())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_booked_in_time_and_late_to_leave_goes_back(database: Database, do: Callable[..., Any]) -> None:
    wall, claimed = Wall(at("2026-03-02T20:59:59")), do(_claim, at("2026-03-02T20:59:59"))
    lane = Lane(Delivery(database, wall, Memo(), "hq", lambda: None, lambda _: Contacts.ALL), SMS, Vendor())
    batch = lanes._batch(claimed, slice(0, 10))

    async def story() -> None:
        assert len((await lane._attempt(batch, claimed, wall.monotonic() + 60)).outcomes) == 10
        wall.at += 1
        with pytest.raises(NeverAccepted, match="quiet hours have begun"):
            await lane._attempt(batch, claimed, wall.monotonic() + 60)

    asyncio.run(story())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_lane_asks_with_the_policy_in_force(database: Database, do: Callable[..., Any]) -> None:
    asked: list[Policy] = []

    def nobody(held: Policy) -> Contacts:
        asked.append(held)
        return Contacts.NOBODY

    async def story() -> None:
        runner = Runner(database, Wall(NOON), {"sms": SMS}, {"sms": Vendor()}, Memo(), "hq", lambda: None, nobody)
        running = asyncio.create_task(runner.run())
        await asyncio.sleep(0.3)
        running.cancel()
        await asyncio.wait({running})

    asyncio.run(story())
    assert {held.version for held in asked} == {1}
    assert do(ledger.counts, NAME)[TaskState.OPEN] == PEOPLE
