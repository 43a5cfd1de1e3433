"""A node that came back while nobody could tell the time waits as long as one that could."""

from __future__ import annotations

import asyncio

import pytest
from liandong.campaign.v1 import coordination_pb2 as pb
from sqlalchemy import Connection

from common.courier.bell import Bell
from common.delivery import fence, ledger
from common.kernel.incarnation import UNDATED, Incarnation
from common.kernel.policy import DEFAULT, SPEND_MARGIN_SECONDS
from common.kernel.refusal import Refusal
from common.kernel.task import TaskState
from common.kernel.work_order import WorkOrderState
from common.runtime import failpoint
from common.runtime.clock import GuardedClock
from common.runtime.failpoint import FailpointError
from common.runtime.outage import StoreUnavailable
from hq.rpc.policies import PolicyCalls
from hq.store import leases, provinces
from hq.store import tables as hq_tables
from province.inbox import Inbox
from tests.restore.machine import NOON, Node
from tests.restore.test_clock import Computer
from tests.restore.test_fence import SMS, a_block_half_sent, block, booked, order, started

MONTH = 30 * 86_400
POLICY = "mode: shared\ncaps:\n  - {scope: all, contacts: 2, per: 24h, province_share: 1}\n"
WINDOW = DEFAULT.longest_window_seconds + SPEND_MARGIN_SECONDS


def rebooted(node: Node, wall: int) -> tuple[Computer, GuardedClock]:
    """Its store was put back, and its wall clock stands so far from the time."""
    computer = Computer()
    node.clock = computer.starts(node.directory)
    booked(node)
    node.do(a_block_half_sent)
    kept = node.backup()
    booked(node)
    node.put_back(kept)
    computer.reboots(wall=wall)
    clock = node.clock = computer.starts(node.directory)
    return computer, clock


def trusts(computer: Computer, clock: GuardedClock, node: Node) -> None:
    """The wall clock is set right and a peer agrees, which is what a node's jobs wait for."""
    computer.wall = NOON

    async def run() -> None:
        done: list[int] = []

        async def job() -> None:
            done.append(node.do(fence.load).fenced_at)

        clock.hear(NOON)
        await clock.confirmed(lambda: node.fence().dated(job))
        assert done == [NOON]

    asyncio.run(run())


@pytest.mark.parametrize("wall", [-MONTH, MONTH])
def test_the_window_begins_when_the_clock_is_trusted(node: Node, wall: int) -> None:
    node.do(provinces.enroll, "45", NOON)
    computer, clock = rebooted(node, wall)
    begun = started(node)
    assert (begun.fenced_at, started(node)) == (UNDATED, begun)
    assert "no peer's clock agrees" in node.do(leases.fenced, clock.now())
    trusts(computer, clock, node)
    node.do(provinces.retold, "45", begun.number)
    assert "may count until" in node.do(leases.fenced, NOON + WINDOW - 1)
    assert node.do(leases.fenced, NOON + WINDOW) == ""


@pytest.mark.parametrize("wall", [-MONTH, MONTH])
def test_what_was_yet_to_send_may_have_been_sent_until_its_work_order_ended(node: Node, wall: int) -> None:
    rebooted(node, wall)
    started(node)
    found = node.do(ledger.load_block, block().work_order, 0)
    assert found.states[:2].tolist() == [TaskState.UNKNOWN] * 2
    assert found.settled_at[:2].tolist() == [order().end_at] * 2


def test_so_may_what_hq_leased_to_the_one_before(node: Node) -> None:
    _, clock = rebooted(node, -MONTH)
    started(node)

    def taken(connection: Connection) -> None:
        told = order(state=WorkOrderState.ISSUED, task_count=8)
        Inbox({"local_sms": SMS}, lambda: clock.trusted).apply(connection, [told, block(1)], clock.now())

    node.do(taken)
    found = node.do(ledger.load_block, block().work_order, 1)
    assert found.settled_at.tolist() == [order().end_at] * 4


@pytest.mark.parametrize("wall", [-MONTH, MONTH])
def test_so_may_it_when_the_machine_is_restarted_once_more(node: Node, wall: int) -> None:
    """The restore is dated by then, and the clock in doubt again. What HQ saw contacted is not dated by it either."""
    computer, clock = rebooted(node, -MONTH)
    started(node)
    trusts(computer, clock, node)
    computer.reboots(wall=wall)
    clock = node.clock = computer.starts(node.directory)
    contacted = block(2)
    contacted.states[:] = TaskState.DELIVERED

    def taken(connection: Connection) -> None:
        told = order(state=WorkOrderState.ISSUED, task_count=12)
        Inbox({"local_sms": SMS}, lambda: clock.trusted).apply(connection, [told, block(1), contacted], clock.now())

    node.do(taken)
    lost, seen = (node.do(ledger.load_block, block().work_order, number) for number in (1, 2))
    assert lost.states.tolist() == [TaskState.UNKNOWN] * 4
    assert lost.settled_at.tolist() == [order().end_at] * 4
    assert seen.submitted_at.tolist() == [order().end_at] * 4


def test_no_policy_is_applied_while_nobody_knows_the_time(node: Node) -> None:
    computer = Computer()
    computer.starts(node.directory)
    computer.reboots(wall=MONTH)
    clock = computer.starts(node.directory)
    node.database.create(hq_tables.metadata)
    calls, request = PolicyCalls(node.database, clock, Bell()), pb.ApplyPolicyRequest(document_yaml=POLICY)
    with pytest.raises(Refusal, match="no peer's clock agrees") as no:
        asyncio.run(calls.apply(request, "ops"))
    assert no.value.reason == "CLOCK_DISAGREES"
    computer.wall = NOON
    clock.hear(NOON)
    assert asyncio.run(calls.apply(request, "ops")).changed


def test_one_whose_clock_was_right_keeps_its_date(node: Node) -> None:
    booked(node)
    begun = asyncio.run(node.fence().fall())
    node.clock.time = NOON + 60
    asyncio.run(node.fence().date())
    assert node.do(fence.load) == begun == Incarnation(NOON, begun.mark, NOON)


@pytest.mark.parametrize("point", ["fence.date.before_commit", "fence.date.after_commit"])
def test_dying_while_it_is_dated_leaves_it_to_be_dated(node: Node, point: str) -> None:
    computer, clock = rebooted(node, -MONTH)
    started(node)
    computer.wall = NOON
    clock.hear(NOON)
    failpoint.arm({"LIANDONG_TESTING": "1", "LIANDONG_FAILPOINT": f"{point}:1:raise"})
    try:
        with pytest.raises((FailpointError, StoreUnavailable)):
            asyncio.run(node.fence().date())
    finally:
        failpoint.arm({})
    asyncio.run(node.fence().date())
    assert node.do(fence.load).fenced_at == NOON
