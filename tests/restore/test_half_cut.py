"""A work order that HQ forgot while it was cutting it: both sides come to hold the same of it, and it ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from liandong.federation.v1 import feed_pb2, uplink_pb2
from sqlalchemy import insert

from common.courier import cursor, log
from common.delivery import fence, ledger, sweep
from common.kernel.channel import CHANNELS
from common.kernel.incarnation import Incarnation, Retold
from common.kernel.task_block import TaskBlock, open_block
from common.kernel.work_order import WorkOrder, WorkOrderCommand, WorkOrderState
from common.wire import codec
from common.wire.streams import HQ, OUTBOX_STREAMS, TOPICS
from hq.campaigns import CampaignState
from hq.store import feed, provinces, retelling, uplink, work_orders
from hq.store import tables as hq_tables
from hq.store.campaigns import WaveState
from province.inbox import Inbox
from province.uplink import HqOutlet, append_everything, append_retold
from tests.restore.machine import Still
from tests.restore.two_sides import Store

NOW, DAY = 1_790_000_000, 86_400
LATER = NOW + 30 * DAY
BLOCKS, ROWS = 3, 4
ORDER = WorkOrder("c/1/local_sms/45", "c", 1, "local_sms", "45", "offer", NOW, NOW + DAY, 5, BLOCKS * ROWS)


def block(number: int) -> TaskBlock:
    keys = number * 100_000 + np.arange(1, ROWS + 1, dtype=np.int64)
    return open_block(ORDER.name, number, keys, ("hello",), np.zeros(ROWS, dtype=np.uint32))


class Side(Store):
    def unread(self, writer: str, reader: str, stream: str) -> list[bytes]:
        """What the log for `reader` holds after the place noted here as `writer`'s."""
        with self.transaction() as connection:
            read = cursor.load(connection, f"{writer}>{reader}", stream)
            cursor.put(connection, f"{writer}>{reader}", stream, log.head_place(connection, reader, stream))
            return [each.payload for each in log.read_after(connection, reader, stream, read.sequence, 1000, 1 << 30)]


class World:
    """HQ came back from a backup made before it cut the work order; the province has it, and some of its blocks."""

    def __init__(self, blocks: int, commands: tuple[WorkOrderState, ...] = ()) -> None:
        self.hq, self.province, self.inbox = Side(), Side(), Inbox(CHANNELS)
        said = [WorkOrderCommand(ORDER.name, state, 2 + n) for n, state in enumerate(commands)]
        self.province.do(self.inbox.apply, [ORDER, *map(block, range(blocks)), *said], NOW)
        self.hq.do(provinces.enroll, "45", NOW)
        self.hq.do(fence.put, Incarnation(number=2, mark=9, fenced_at=NOW))

    def retells(self) -> None:
        for stream in OUTBOX_STREAMS:
            self.province.do(lambda at, stream=stream: append_everything(at, stream, NOW, forgot=True))
        self.province.do(append_retold, Retold(2), NOW)
        self.exchange(NOW)

    def knows_campaign(self) -> None:
        """An operator has approved it again; its wave is to be cut."""
        row = {"name": "c", "version": 1, "state": int(CampaignState.APPROVED), "yaml": "", "manifest": ""}
        self.hq.do(lambda at: at.execute(insert(hq_tables.campaign), row | {"applied_by": "a", "approved_by": "b"}))
        row = {"campaign": "c", "number": 1, "name": "only", "select_at": NOW, "state": int(WaveState.SELECTED)}
        self.hq.do(lambda at: at.execute(insert(hq_tables.wave), row | {"selection": ""}))

    def cuts(self, order: WorkOrder = ORDER) -> None:
        self.hq.do(work_orders.begin_cut, "c", 1, [order], LATER)
        self.hq.do(work_orders.cut, order, list(map(block, range(BLOCKS))), LATER)
        self.hq.do(work_orders.end_cut, "c", 1)

    def exchange(self, now: int) -> None:
        """All that either side has to tell, and what follows at the province, until neither has more."""
        while any([self._up(now), self._down(now), self._sweep(now)]):
            pass

    def _up(self, now: int) -> int:
        told = [(stream, entry) for stream in OUTBOX_STREAMS for entry in self.province.unread("45", HQ, stream)]
        for _, entry in told:
            value = codec.read_outbox_entry(uplink_pb2.OutboxEntry.FromString(entry), "45")
            self.hq.do(uplink.apply, "45", [value], now)
        return len(told)

    def _down(self, now: int) -> int:
        told = [entry for topic in TOPICS for entry in self.hq.unread(HQ, "45", topic)]
        for entry in told:
            value = codec.read_feed_entry(feed_pb2.FeedEntry.FromString(entry), "45")
            self.province.do(self.inbox.apply, [value], now)
        return len(told)

    def _sweep(self, now: int) -> int:
        outlet, due = HqOutlet(Still()), self.province.do(sweep.due, "45", CHANNELS, now)
        for order, number in due:
            self.province.do(sweep.sweep_block, order, number, now, CHANNELS[order.channel], (), outlet)
        return len(due) + int(self.province.do(sweep.finish_all, "45", outlet))

    def sides(self) -> list[WorkOrder]:
        return [self.hq.do(ledger.load_work_order, ORDER.name), self.province.do(ledger.load_work_order, ORDER.name)]


COMMANDS = st.lists(
    st.sampled_from([WorkOrderState.PAUSED, WorkOrderState.ACCEPTED, WorkOrderState.CANCELLED]), max_size=3
).map(tuple)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, BLOCKS), COMMANDS)
def test_what_nobody_cuts_on_ends_alike_at_both_sides_with_the_tasks_there_are(
    blocks: int, commands: tuple[WorkOrderState, ...]
) -> None:
    world = World(blocks, commands)
    world.retells()
    world.hq.do(retelling.end_half_cut, LATER)
    world.exchange(LATER)
    mine, theirs = world.sides()
    assert (mine.state, mine.version, mine.task_count) == (theirs.state, theirs.version, theirs.task_count)
    assert (mine.state, mine.task_count) == (WorkOrderState.COMPLETED, blocks * ROWS)
    for store in (world.hq, world.province):
        assert sum(store.do(ledger.counts, ORDER.name).values()) == blocks * ROWS
    assert world.hq.do(retelling.half_cut, LATER) == []


@settings(max_examples=20, deadline=None)
@given(st.integers(0, BLOCKS), COMMANDS)
def test_what_hq_cuts_on_is_whole_at_both_sides(blocks: int, commands: tuple[WorkOrderState, ...]) -> None:
    world = World(blocks, commands)
    world.retells()
    world.knows_campaign()
    assert world.hq.do(retelling.half_cut, LATER) == []
    world.cuts()
    world.exchange(LATER)
    mine, theirs = world.sides()
    assert (mine.state, mine.version, mine.task_count) == (theirs.state, theirs.version, theirs.task_count)
    assert (mine.state, mine.task_count) == (WorkOrderState.COMPLETED, ORDER.task_count)


@pytest.mark.parametrize("blocks", range(BLOCKS))
def test_what_has_ended_half_cut_is_not_cut_on(blocks: int) -> None:
    world = World(blocks)
    world.retells()
    world.hq.do(retelling.end_half_cut, LATER)
    world.knows_campaign()
    world.cuts()
    world.exchange(LATER)
    mine, theirs = world.sides()
    assert mine.task_count == theirs.task_count == sum(world.hq.do(ledger.counts, ORDER.name).values())
    assert mine.task_count == blocks * ROWS


def test_what_a_lost_hq_cut_from_another_selection_gets_nobody_more() -> None:
    world = World(blocks=1)
    world.retells()
    world.knows_campaign()
    world.cuts(replace(ORDER, task_count=ORDER.task_count + 1))
    assert world.hq.do(ledger.received, ORDER.name) == ROWS


def test_nothing_ends_half_cut_that_may_still_become_whole() -> None:
    world = World(blocks=1)
    assert world.hq.do(retelling.half_cut, LATER) == []
    world.retells()
    assert [each.name for each in world.hq.do(retelling.half_cut, LATER)] == [ORDER.name]
    assert world.hq.do(retelling.half_cut, ORDER.end_at) == []
    world.hq.do(fence.put, Incarnation(number=2, mark=9, fenced_at=NOW - 30 * DAY))
    assert world.hq.do(retelling.half_cut, ORDER.end_at - 1) == []
    assert len(world.hq.do(retelling.half_cut, ORDER.end_at)) == 1
    world.hq.do(fence.put, Incarnation(number=3, mark=9, fenced_at=NOW))
    assert world.hq.do(retelling.half_cut, LATER) == []
    world.hq.do(fence.put, Incarnation())
    assert world.hq.do(retelling.half_cut, LATER) == []


def test_a_rejected_work_order_has_the_version_it_was_issued_with() -> None:
    world = World(blocks=0)
    strange = replace(ORDER, name="c/1/fax/45", channel="fax")
    world.hq.do(ledger.put_work_order, strange)
    world.hq.do(feed.put, "45", [strange], NOW)
    world.exchange(NOW)
    for store in (world.hq, world.province):
        known = store.do(ledger.load_work_order, strange.name)
        assert (known.state, known.version) == (WorkOrderState.REJECTED, strange.version)
