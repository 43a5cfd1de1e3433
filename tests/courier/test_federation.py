"""The whole courier over real gRPC: what HQ issues arrives, what provinces report arrives, whatever is interrupted."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, select

from common.courier import cursor, log
from common.courier.tables import log_entry
from common.delivery import ledger, orders, stops
from common.kernel.order import OrderChange, OrderRecords
from common.kernel.stop import Stops, stops_of
from common.kernel.task import TaskEvent, TaskReason, TaskState
from common.kernel.task_block import advance
from common.kernel.work_order import WorkOrder, WorkOrderCommand, WorkOrderState
from hq.rpc.federation import Pace
from hq.store import feed
from province import uplink
from tests.courier.world import NOW, Begin, Node, World, block, until, work_order


def state_of(node: Node, order: WorkOrder) -> WorkOrderState | None:
    found = node.do(ledger.load_work_order, order.name)
    return found.state if found else None


def counts(node: Node, order: WorkOrder) -> dict[TaskState, int]:
    return {state: tasks for state, tasks in node.do(ledger.counts, order.name).items() if tasks}


def entries(node: Node, peer: str) -> int:
    """How many log entries for `peer` are kept."""
    kept = select(log_entry.c.sequence).where(log_entry.c.peer == peer)
    return node.do(lambda connection: len(connection.execute(kept).all()))


def deliver(connection: Connection, order: WorkOrder, number: int, rows: int, now: int) -> None:
    """The first `rows` of a block reach their end, and HQ is told in the same transaction."""
    held = ledger.load_block(connection, order.name, number)
    booked, _ = advance(held, np.arange(rows), TaskEvent.BOOK, TaskReason.NONE, now)
    done, changed = advance(booked, np.arange(rows), TaskEvent.DELIVER, TaskReason.NONE, now + 5)
    ledger.save_block(connection, done)
    uplink.append_results(connection, done, changed, now)


def stop_of(*keys: int) -> Stops:
    rows = len(keys)
    return stops_of(np.array(keys), np.full(rows, NOW, dtype=np.uint32), np.zeros(rows, dtype=np.bool_))


def record_stop(connection: Connection, *keys_and_now: int) -> None:
    *keys, now = keys_and_now
    said = stop_of(*keys)
    stops.put_stops(connection, said)
    uplink.append_stops(connection, said, now)


def stopped(node: Node) -> list[int]:
    return node.do(stops.standing_between, 0, 1 << 62)[0].tolist()


def one_order(number: str, key: int) -> OrderRecords:
    return OrderRecords(["bss"], [number], np.array([1]), np.array([key]), ["offer"],
                        np.array([OrderChange.SUBSCRIBED], dtype=np.uint8), np.array([990]),
                        np.array([NOW], dtype=np.uint32))  # fmt: skip


def test_a_work_order_goes_down_is_accepted_and_its_results_come_up(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            order = work_order("45", 30)
            w.start_province("45")
            w.issue(order, block(order, 0, 20), block(order, 1, 10))
            await until(lambda: state_of(w.hq, order) == WorkOrderState.ACCEPTED)
            assert counts(w.provinces["45"], order) == {TaskState.OPEN: 30}
            w.tell("45", "results", deliver, order, 0, 20)
            await until(lambda: counts(w.hq, order) == {TaskState.OPEN: 10, TaskState.DELIVERED: 20})
            mirrored = w.hq.do(ledger.load_block, order.name, 0)
            assert mirrored.submitted_at.tolist() == [NOW] * 20
            assert mirrored.settled_at.tolist() == [NOW + 5] * 20
            w.tell("45", "results", deliver, order, 1, 10)
            await until(lambda: state_of(w.hq, order) == WorkOrderState.COMPLETED)
            await until(lambda: entries(w.hq, "45") == entries(w.provinces["45"], "hq") == 0)

    asyncio.run(story())


def test_a_stop_in_one_province_is_known_everywhere_within_a_second_or_two(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            w.start_province("45")
            w.start_province("13")
            await until(lambda: w.hq.do(log.position, "13", "control").committed == 0)
            w.tell("45", "control", record_stop, 3, 99)
            await until(lambda: stopped(w.hq) == stopped(w.provinces["13"]) == [3, 99], 5)

    asyncio.run(story())


def test_a_province_that_joins_late_gets_the_stops_from_before(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            w.hq.do(stops.put_stops, stops_of(np.array([7, 8]), np.array([NOW, NOW]), np.array([False, True])))
            w.start_province("45")
            await until(lambda: stopped(w.provinces["45"]) == [7], 5)

    asyncio.run(story())


def test_orders_and_pool_changes_come_up(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            w.start_province("45")
            w.tell("45", "orders", uplink.append_orders, one_order("A1", 5))
            await until(lambda: w.hq.do(orders.owners_between, "offer", 0, 10).tolist() == [5])

    asyncio.run(story())


def test_a_command_that_overtakes_its_work_order_is_obeyed_when_it_is_whole(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            order = work_order("45", 20)
            w.start_province("45")
            command = WorkOrderCommand(order.name, WorkOrderState.CANCELLED, 2)
            w.hq.do(ledger.put_work_order, replace(order, state=command.state, version=command.version))
            w.hq.do(feed.put, "45", [command], NOW)
            w.hq.bell.ring("45", "control")
            await until(lambda: w.hq.do(log.position, "45", "control").committed == 1)
            w.issue(order, block(order, 0, 10))
            await until(lambda: state_of(w.provinces["45"], order) == WorkOrderState.ISSUED)
            w.issue(order, block(order, 1, 10))
            await until(lambda: state_of(w.provinces["45"], order) == WorkOrderState.CANCELLED)

    asyncio.run(story())


@pytest.mark.parametrize(("channel", "why"), [("sms", "level one"), ("pigeon", "not known")])
def test_a_work_order_for_a_channel_that_is_not_the_provinces_is_rejected(
    world: Begin, channel: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with world() as w:
            order = work_order("45", 10, channel=channel)
            w.start_province("45")
            w.issue(order, block(order, 0, 10))
            await until(lambda: state_of(w.hq, order) == WorkOrderState.REJECTED)
            assert counts(w.hq, order) == {TaskState.SUPPRESSED: 10}
            assert why in caplog.text

    asyncio.run(story())


@pytest.mark.slow
def test_a_province_that_was_stopped_catches_up_and_nobody_resends(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            first, second = work_order("45", 10, "first"), work_order("45", 10, "second")
            w.start_province("45")
            w.issue(first, block(first, 0, 10))
            await until(lambda: state_of(w.hq, first) == WorkOrderState.ACCEPTED)
            await w.stop_province("45")
            w.tell("45", "results", deliver, first, 0, 10)
            w.issue(second, block(second, 0, 10))
            w.start_province("45")
            await until(lambda: state_of(w.hq, second) == WorkOrderState.ACCEPTED)
            await until(lambda: state_of(w.hq, first) == WorkOrderState.COMPLETED)

    asyncio.run(story())


@pytest.mark.slow
def test_hq_may_be_restarted_under_a_province(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            order = work_order("45", 10)
            w.start_province("45")
            w.issue(order, block(order, 0, 10))
            await until(lambda: state_of(w.hq, order) == WorkOrderState.ACCEPTED)
            await w.stop_hq()
            w.tell("45", "results", deliver, order, 0, 10)
            await asyncio.sleep(1.5)
            await w.start_hq()
            await until(lambda: state_of(w.hq, order) == WorkOrderState.COMPLETED)

    asyncio.run(story())


@pytest.mark.slow
def test_many_entries_pass_through_a_window_of_few(world: Begin) -> None:
    async def story() -> None:
        async with world(Pace(lease=30, progress=0.3, poll=0.2, unacknowledged_entries_max=3)) as w:
            order = work_order("45", 400)
            w.start_province("45")
            await until(lambda: w.provinces["45"].do(_watching))
            w.issue(order, *(block(order, number, 10) for number in range(40)))
            await until(lambda: state_of(w.hq, order) == WorkOrderState.ACCEPTED)

    asyncio.run(story())


def _watching(connection: Connection) -> bool:
    return cursor.load(connection, "hq", "work_orders").epoch == 1


@pytest.mark.slow
def test_a_restored_province_is_told_what_it_forgot_and_sends_nothing_settled_again(
    world: Begin, tmp_path: Path
) -> None:
    """The backup is older than the delivery: only HQ remembers who was contacted."""

    async def story() -> None:
        async with world() as w:
            order, node = work_order("45", 10), w.provinces["45"]
            w.start_province("45")
            w.issue(order, block(order, 0, 10))
            await until(lambda: state_of(w.hq, order) == WorkOrderState.ACCEPTED)
            await w.stop_province("45")
            backup = _backup(node, tmp_path)
            w.start_province("45")
            w.tell("45", "results", deliver, order, 0, 4)
            w.tell("45", "control", record_stop, 77)
            w.hq.do(feed.put, "45", [stop_of(5)], NOW)
            w.hq.do(stops.put_stops, stop_of(5))
            await until(lambda: counts(w.hq, order).get(TaskState.DELIVERED) == 4 and 5 in stopped(node))
            await until(lambda: entries(w.hq, "45") == 0)
            await w.stop_province("45")
            _restore(w, "45", backup)
            assert counts(w.provinces["45"], order) == {TaskState.OPEN: 10}
            w.tell("45", "control", record_stop, 78)
            w.tell("45", "orders", uplink.append_orders, one_order("A1", 5))
            w.start_province("45")
            await until(lambda: stopped(w.hq) == [5, 77, 78])
            await until(lambda: stopped(w.provinces["45"]) == [5, 77, 78])

    asyncio.run(story())


@pytest.mark.slow
def test_a_restored_hq_is_told_again_what_it_had_confirmed(world: Begin, tmp_path: Path) -> None:
    async def story() -> None:
        async with world() as w:
            order = work_order("45", 10)
            w.start_province("45")
            w.issue(order, block(order, 0, 10))
            await until(lambda: state_of(w.hq, order) == WorkOrderState.ACCEPTED)
            backup = _backup(w.hq, tmp_path)
            w.tell("45", "results", deliver, order, 0, 10)
            w.tell("45", "control", record_stop, 6)
            w.hq.do(feed.put, "45", [stop_of(9)], NOW)
            await until(lambda: state_of(w.hq, order) == WorkOrderState.COMPLETED and stopped(w.hq) == [6])
            await until(lambda: entries(w.hq, "45") == entries(w.provinces["45"], "hq") == 0)
            await w.stop_hq()
            _restore(w, "hq", backup)
            assert counts(w.hq, order) == {TaskState.OPEN: 10}
            w.issue(work_order("45", 10, "later"), block(work_order("45", 10, "later"), 0, 10))
            await w.start_hq()
            await until(lambda: state_of(w.hq, order) == WorkOrderState.COMPLETED and stopped(w.hq) == [6, 9])
            await until(lambda: state_of(w.provinces["45"], work_order("45", 10, "later")) == WorkOrderState.ACCEPTED)
            assert w.hq.do(log.position, "45", "control").epoch == 2
            assert w.provinces["45"].do(log.position, "hq", "results").epoch == 2

    asyncio.run(story())


def _backup(node: Node, directory: Path) -> Path:
    path = directory / f"{node.path.name}.backup"
    with sqlite3.connect(node.path) as source, sqlite3.connect(path) as target:
        source.backup(target)
    return path


def _restore(w: World, which: str, backup: Path) -> None:
    node: Any = w.hq if which == "hq" else w.provinces[which]
    node.database.close()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{node.path}{suffix}").unlink(missing_ok=True)
    backup.rename(node.path)
    restored = Node(node.path)
    if which == "hq":
        w.hq = restored
    else:
        w.provinces[which] = restored
