from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from common.delivery import ledger
from common.kernel.task import TaskEvent, TaskReason, TaskState
from common.kernel.task_block import advance, respond
from common.kernel.work_order import WorkOrder, WorkOrderState
from common.runtime.database import Database

NOON = 1_800_000_000


def test_only_a_newer_version_of_a_work_order_is_kept(database: Database, people: Any, issue: Any) -> None:
    with database.transaction() as connection:
        order = issue(connection, people(10), version=2)
        ledger.put_work_order(connection, replace(order, priority=7, version=2))
        assert ledger.load_work_order(connection, order.name) == order
        newer = replace(order, priority=7, version=3)
        ledger.put_work_order(connection, newer)
        assert ledger.load_work_order(connection, order.name) == newer


def test_work_orders_are_found_by_node_campaign_and_state(database: Database, people: Any, issue: Any) -> None:
    names = ("a/1/sms/hq", "a/1/local_sms/45", "b/1/local_sms/45")
    with database.transaction() as connection:
        for name in names:
            issue(connection, people(3), name=name)
        ledger.set_state(connection, names[2], WorkOrderState.PAUSED, version=9)

        def found(**filters: Any) -> list[str]:
            return [order.name for order in ledger.work_orders(connection, **filters)]

        assert found() == sorted(names)
        assert found(node="45") == ["a/1/local_sms/45", "b/1/local_sms/45"]
        assert found(node="45", campaign="a") == ["a/1/local_sms/45"]
        assert found(states=[WorkOrderState.PAUSED]) == ["b/1/local_sms/45"]
        paused = ledger.load_work_order(connection, names[2])
        assert isinstance(paused, WorkOrder)
        assert (paused.state, paused.version) == (WorkOrderState.PAUSED, 9)


def test_a_block_reads_back_as_it_was_saved(database: Database, people: Any, issue: Any) -> None:
    with database.transaction() as connection:
        order = issue(connection, people(100))
        block = ledger.load_block(connection, order.name, 0)
        assert block is not None
        block, _ = advance(block, np.arange(0, 60), TaskEvent.BOOK, TaskReason.NONE, NOON)
        block, _ = advance(block, np.arange(0, 50), TaskEvent.DELIVER, TaskReason.NONE, NOON + 1)
        block, _ = respond(block, np.arange(0, 5), np.full(5, 2, dtype=np.uint8))
        ledger.save_block(connection, block)
        again = ledger.load_block(connection, order.name, 0)
        assert again is not None
        for column in ("keys", "states", "reasons", "responses", "submitted_at", "settled_at", "text_refs"):
            assert np.array_equal(getattr(block, column), getattr(again, column)), column
        assert again.texts == block.texts
        counted = ledger.counts(connection, order.name)
        assert (counted[TaskState.OPEN], counted[TaskState.SUBMITTING], counted[TaskState.DELIVERED]) == (40, 10, 50)


def test_a_repeated_block_changes_nothing(database: Database, people: Any, issue: Any) -> None:
    with database.transaction() as connection:
        order = issue(connection, people(20))
        (block,) = ledger.blocks(connection, order.name)
        booked, _ = advance(block, np.arange(20), TaskEvent.BOOK, TaskReason.NONE, NOON)
        ledger.save_block(connection, booked)
        assert ledger.insert_block(connection, block) is False
        assert ledger.counts(connection, order.name)[TaskState.SUBMITTING] == 20


def test_blocks_are_found_by_the_states_in_them(database: Database, people: Any, issue: Any) -> None:
    with database.transaction() as connection:
        order = issue(connection, people(25_000))
        assert ledger.block_numbers(connection, order.name) == [0, 1, 2]
        assert ledger.received(connection, order.name) == 25_000
        block = ledger.load_block(connection, order.name, 1)
        assert block is not None
        ledger.save_block(connection, advance(block, np.arange(10_000), TaskEvent.BOOK, TaskReason.NONE, NOON)[0])
        assert ledger.block_numbers(connection, order.name, with_state=TaskState.OPEN) == [0, 2]
        assert ledger.block_numbers(connection, order.name, with_state=TaskState.SUBMITTING) == [1]
