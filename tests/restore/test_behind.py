"""A province that came back from a backup is behind with work orders that are over at HQ: it hears how they ended."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.delivery import ledger
from common.kernel.task import TaskState
from common.kernel.task_block import TaskBlock, open_block
from common.kernel.work_order import WorkOrder, WorkOrderCommand, WorkOrderState, command
from hq.store import feed
from province.store import commands
from tests.restore.two_sides import CODE, Sides

NOW, DAY = 1_790_000_000, 86_400
LATER = NOW + 30 * DAY
BLOCKS, ROWS = 3, 4
ORDER = WorkOrder("c/1/local_sms/45", "c", 1, "local_sms", CODE, "offer", NOW, NOW + DAY, 5, BLOCKS * ROWS)
SAID = st.lists(st.sampled_from([WorkOrderState.PAUSED, WorkOrderState.ACCEPTED, WorkOrderState.CANCELLED]), max_size=4)


def block(number: int) -> TaskBlock:
    keys = number * 100_000 + np.arange(1, ROWS + 1, dtype=np.int64)
    return open_block(ORDER.name, number, keys, ("hello",), np.zeros(ROWS, dtype=np.uint32))


class World(Sides):
    """HQ issues a work order of some blocks and says this and that of it."""

    def issue(self) -> None:
        self.hq.do(ledger.put_work_order, ORDER)
        self.hq.do(feed.put, CODE, [ORDER], NOW)

    def cut(self, numbers: range) -> None:
        for number in numbers:
            self.hq.do(ledger.insert_block, block(number))
            self.hq.do(feed.put, CODE, [block(number)], NOW)

    def say(self, state: WorkOrderState) -> None:
        order = self.hq.do(ledger.load_work_order, ORDER.name)
        told = command(order, state, order.version + 1)
        self.hq.do(ledger.put_work_order, told)
        self.hq.do(feed.put, CODE, [WorkOrderCommand(ORDER.name, state, told.version)], NOW)

    def agree(self) -> None:
        mine, theirs = (side.do(ledger.load_work_order, ORDER.name) for side in (self.hq, self.province))
        assert (mine.state, mine.version, mine.task_count) == (theirs.state, theirs.version, theirs.task_count)
        assert mine.state is WorkOrderState.COMPLETED
        assert self.province.do(ledger.received, ORDER.name) == ORDER.task_count
        assert self.province.do(commands.held, ORDER.name) is None


@settings(max_examples=20, deadline=None)
@given(st.integers(0, BLOCKS), SAID, SAID)
def test_both_sides_end_alike_whatever_the_backup_had_of_it(
    blocks: int, before: list[WorkOrderState], after: list[WorkOrderState]
) -> None:
    world = World()
    world.meet(NOW)
    world.issue()
    world.cut(range(blocks))
    for state in before:
        world.say(state)
    world.exchange(NOW)
    backup = world.province.copy()
    world.cut(range(blocks, BLOCKS))
    for state in after:
        world.say(state)
    world.exchange(LATER)
    world.agree()
    world.put_back(backup, LATER)
    world.meet(LATER)
    world.agree()


@pytest.mark.parametrize("blocks", range(BLOCKS))
def test_what_hq_saw_of_tasks_it_sends_again_is_known_with_them(blocks: int) -> None:
    world = World()
    world.meet(NOW)
    world.issue()
    world.cut(range(blocks))
    world.exchange(NOW)
    backup = world.province.copy()
    world.cut(range(blocks, BLOCKS))
    world.exchange(LATER)
    world.put_back(backup, LATER)
    world.meet(LATER)
    counts = world.province.do(ledger.counts, ORDER.name)
    assert counts[TaskState.EXPIRED] == (BLOCKS - blocks) * ROWS
    assert counts[TaskState.UNKNOWN] == blocks * ROWS


def test_of_what_the_province_forgot_altogether_it_is_told_nothing() -> None:
    world = World()
    world.meet(NOW)
    backup = world.province.copy()
    world.issue()
    world.cut(range(BLOCKS))
    world.say(WorkOrderState.PAUSED)
    world.exchange(LATER)
    world.put_back(backup, LATER)
    world.meet(LATER)
    assert world.province.do(ledger.load_work_order, ORDER.name) is None
    assert world.province.do(commands.held, ORDER.name) is None


def test_a_province_that_kept_its_memory_hears_nothing_twice() -> None:
    world = World()
    world.meet(NOW)
    world.issue()
    world.cut(range(BLOCKS))
    world.say(WorkOrderState.PAUSED)
    world.exchange(LATER)
    place = world.province.do(lambda at: at.exec_driver_sql("SELECT * FROM cursor ORDER BY peer, stream").all())
    world.meet(LATER)
    assert world.province.do(lambda at: at.exec_driver_sql("SELECT * FROM cursor ORDER BY peer, stream").all()) == place
