"""A store put back from a backup is noticed, and nothing that it may have forgotten is relied on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from common.courier.bell import Bell
from common.courier.standing import Standing
from common.delivery import fence, ledger, vault
from common.delivery.claim import Contacts, take
from common.delivery.lane import Delivery, Lane
from common.kernel.channel import Channel, ChannelClass, Level, VendorTerms
from common.kernel.incarnation import HEARSAY_MAX, Incarnation, Kept, WentBack, went_back
from common.kernel.incarnation import restored as restored_from
from common.kernel.policy import SPEND_MARGIN_SECONDS
from common.kernel.refusal import Refusal
from common.kernel.task import TaskEvent, TaskReason, TaskState
from common.kernel.task_block import TaskBlock, advance, open_block
from common.kernel.work_order import WorkOrder, WorkOrderState
from common.runtime import failpoint
from common.runtime.failpoint import FailpointError
from common.runtime.outage import StoreUnavailable
from hq import link
from hq.rpc.federation import Federation, GrantService
from hq.store import leases, provinces
from hq.store.sessions import Session
from province.inbox import Inbox
from tests.restore.machine import NOON, Node

SMS = Channel("local_sms", "短信", "SMS", Level.TWO, ChannelClass.MESSAGE, 200_000, 5, time(0), time(0))
TERMS = VendorTerms(messages_per_second_max=1000, batch_max=100, dedupe_seconds=0)
NAME = "spring/1/local_sms/45"


def started(node: Node) -> Incarnation:
    return asyncio.run(node.fence().wake())


def booked(node: Node, times: int = 1) -> None:
    """A process books contacts and keeps the mark, as a lane does."""

    async def book() -> None:
        running = node.fence()
        await running.wake()
        for _ in range(times):
            assert await running.keep(await node.database.write(fence.raise_mark))

    asyncio.run(book())


def order(**changed: Any) -> WorkOrder:
    fields = {"task_count": 4, "state": WorkOrderState.ACCEPTED, "incarnation": 1} | changed
    return WorkOrder(NAME, "spring", 1, "local_sms", "45", "o", NOON - 60, NOON + 3600, 5, **fields)


def block(number: int = 0) -> TaskBlock:
    keys = number * 100_000 + np.arange(4, dtype=np.int64)
    return open_block(NAME, number, keys, ("您好",), np.zeros(4, dtype=np.uint32))


def issued(connection: Connection, tasks: int) -> None:
    """A work order of so many tasks; the first block of them is here, and everybody's number."""
    ledger.put_work_order(connection, order(task_count=tasks))
    ledger.insert_block(connection, block())
    for number in range(tasks // 4):
        vault.put_subscribers(connection, block(number).keys, 8_613_800_000_000 + block(number).keys, 45)


def a_block_half_sent(connection: Connection) -> None:
    """An open task, one being sent, one submitted and one delivered."""
    ledger.put_work_order(connection, order())
    whole, _ = advance(block(), np.array([1, 2, 3]), TaskEvent.BOOK, TaskReason.NONE, NOON - 30)
    whole, _ = advance(whole, np.array([2, 3]), TaskEvent.ACCEPT, TaskReason.NONE, NOON - 30)
    whole, _ = advance(whole, np.array([3]), TaskEvent.DELIVER, TaskReason.NONE, NOON - 20)
    ledger.insert_block(connection, whole)


# At start


@pytest.mark.parametrize("file", ["stays", "goes back", "is lost", "is damaged"])
def test_a_store_put_back_is_noticed_at_start(node: Node, file: str) -> None:
    booked(node)
    kept, before = node.backup(), node.file.read_bytes()
    booked(node)
    node.put_back(kept)
    if file == "goes back":
        node.file.write_bytes(before)
    elif file == "is lost":
        node.file.unlink()
    elif file == "is damaged":
        node.file.write_bytes(node.file.read_bytes().replace(b" 0", b" 7", 1))
    woken = started(node)
    if file == "goes back":  # The whole machine: that only peers or an operator can tell.
        assert woken.number == 1
    else:
        assert (woken.number, woken.fenced_at) == (NOON, NOON)
        assert started(node) == woken


def test_a_node_that_never_booked_is_noticed_too(node: Node) -> None:
    never_ran = node.backup()
    started(node)
    ran = node.backup()
    node.put_back(never_ran)
    assert started(node).fenced_at == NOON
    node.put_back(ran)
    assert started(node).fenced_at == NOON


def test_a_node_that_never_booked_and_loses_its_disk_is_noticed(node: Node) -> None:
    started(node)
    kept = node.backup()
    node.file.unlink()
    node.put_back(kept)
    assert started(node).fenced_at == NOON


def test_a_node_killed_anywhere_is_not_taken_for_a_restored_one(node: Node) -> None:
    for point in ("fence.write.before_sync", "fence.write.after_sync", "fence.start.before_commit",
                  "fence.start.after_commit"):  # fmt: skip
        for turn in (1, 2):
            failpoint.arm({"LIANDONG_TESTING": "1", "LIANDONG_FAILPOINT": f"{point}:{turn}:raise"})
            try:
                started(node)
            except (FailpointError, StoreUnavailable):
                pass
            finally:
                failpoint.arm({})
    node.do(fence.raise_mark)  # Booked, and killed before the mark was kept: so nothing of it was sent.
    assert started(node) == Incarnation(1, 2, 0)


def test_a_backup_put_back_twice_gives_two_incarnations(node: Node) -> None:
    booked(node)
    kept, before = node.backup(), node.file.read_bytes()
    numbers = []
    for later in (0, 1):
        node.clock.time = NOON + later
        node.put_back(kept)
        node.file.write_bytes(before)
        numbers.append(asyncio.run(node.fence().fall()).number)
    assert numbers == [NOON, NOON + 1]


kept_values = st.builds(Kept, st.integers(1, 9), st.integers(0, 9))


@given(stored=st.builds(Incarnation, st.integers(1, 9), st.integers(0, 9)), kept=st.none() | kept_values,
       above=st.integers(0, 99), now=st.integers(0, 99))  # fmt: skip
def test_who_follows_a_restore_is_above_all_before(
    stored: Incarnation, kept: Kept | None, above: int, now: int
) -> None:
    begun = restored_from(stored, kept, above, now)
    assert begun.number > max(stored.number, kept.number if kept else 1, above)
    assert begun.mark > max(stored.mark, kept.mark if kept else 0)
    beside = Kept(begun.number, begun.mark)
    assert went_back(stored, beside)
    assert not went_back(begun, beside)


# What follows


def test_what_was_yet_to_send_is_unknown_and_what_is_known_stays(node: Node) -> None:
    booked(node)
    node.do(a_block_half_sent)
    kept = node.backup()
    booked(node)
    node.put_back(kept)
    started(node)
    found = node.do(ledger.load_block, NAME, 0)
    assert found.states.tolist() == [
        TaskState.UNKNOWN, TaskState.UNKNOWN, TaskState.SUBMITTED, TaskState.DELIVERED,
    ]  # fmt: skip
    assert found.reasons[:2].tolist() == [TaskReason.RESTORED] * 2
    assert found.settled_at[:2].tolist() == [NOON] * 2


@pytest.mark.parametrize("point", ["fence.give_up.before_commit", "fence.give_up.after_commit",
                                   "fence.write.before_sync", "fence.write.after_sync",
                                   "fence.begin.before_commit", "fence.begin.after_commit"])  # fmt: skip
def test_dying_while_a_restore_is_dealt_with_leaves_nothing_open(node: Node, point: str) -> None:
    booked(node)
    node.do(a_block_half_sent)
    kept = node.backup()
    booked(node)
    node.put_back(kept)
    failpoint.arm({"LIANDONG_TESTING": "1", "LIANDONG_FAILPOINT": f"{point}:1:raise"})
    try:
        with pytest.raises((FailpointError, StoreUnavailable)):
            started(node)
    finally:
        failpoint.arm({})
    assert started(node).fenced_at == NOON
    assert node.do(ledger.counts, NAME)[TaskState.UNKNOWN] == 2


@pytest.mark.parametrize(("issued_to", "sent"), [(1, False), (NOON, True)])
def test_what_hq_leased_to_the_one_before_is_not_sent(node: Node, issued_to: int, sent: bool) -> None:
    booked(node)
    asyncio.run(node.fence().fall())
    told = order(state=WorkOrderState.ISSUED, incarnation=issued_to)
    node.do(vault.put_subscribers, block().keys, 8_613_800_000_000 + block().keys, 45)
    node.do(lambda connection: Inbox({"local_sms": SMS}).apply(connection, [told, block()], NOON))
    taken = node.do(take, "45", SMS, TERMS, NOON, 100, (), node.fence()._outlet)
    assert [len(claimed.rows) for claimed in taken] == ([4] if sent else [])
    assert node.do(ledger.load_block, NAME, 0).reasons.tolist() == [0 if sent else TaskReason.RESTORED] * 4


# Under the running node


async def running(node: Node) -> tuple[fence.Fence, Lane]:
    awake = node.fence()
    await awake.wake()
    delivery = Delivery(node.database, node.clock, awake._outlet, "45", lambda: None, _all, awake)
    return awake, Lane(delivery, SMS, None)  # type: ignore[arg-type]


def _all(_policy: object) -> Contacts:
    return Contacts.ALL


def gone_back(connection: Connection) -> None:
    """As a database that came back without its last transactions."""
    stored = fence.load(connection)
    fence.put(connection, Incarnation(stored.number, stored.mark - 1, stored.fenced_at))


def taken_over(connection: Connection) -> None:
    stored = fence.load(connection)
    fence.put(connection, Incarnation(stored.number + 1, stored.mark, stored.fenced_at))


@pytest.mark.parametrize("what", [gone_back, taken_over])
def test_a_store_that_goes_back_under_a_running_node_books_nothing(
    node: Node, what: Callable[[Connection], None]
) -> None:
    booked(node, 3)

    async def run() -> None:
        awake, lane = await running(node)
        node.do(issued, 8)
        (claimed,) = await lane._claim(TERMS)
        assert len(claimed.rows) == 4
        node.do(lambda c: (what(c), ledger.insert_block(c, block(1))))
        with pytest.raises(Refusal) as refused:
            await lane._claim(TERMS)
        assert refused.value.reason == "RESTORE_FENCED"
        with pytest.raises(Refusal):
            await awake.watch()

    asyncio.run(run())
    assert node.do(ledger.load_block, NAME, 1).states.tolist() == [TaskState.OPEN] * 4


def test_a_node_that_goes_on_is_not_refused(node: Node) -> None:
    async def run() -> None:
        awake, lane = await running(node)
        node.do(issued, 12)
        for number in (1, 2):
            assert len(await lane._claim(TERMS)) == 1
            node.do(ledger.insert_block, block(number))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(awake.watch(), 0.1)

    asyncio.run(run())


def test_what_was_booked_before_a_peer_told_of_the_restore_is_not_sent(node: Node) -> None:
    async def run() -> None:
        awake = node.fence()
        await awake.wake()
        mark = await node.database.write(fence.raise_mark)
        await awake.fall(1, above=7)
        assert not await awake.keep(mark)
        assert await awake.keep(await node.database.write(fence.raise_mark))

    asyncio.run(run())


def test_two_peers_that_tell_of_one_restore_begin_one_incarnation(node: Node) -> None:
    async def run() -> None:
        awake = node.fence()
        await awake.wake()
        first, second = await asyncio.gather(awake.fall(1), awake.fall(1))
        assert first == second
        assert (await awake.fall(1, above=first.number + 5)).number == first.number + 6

    asyncio.run(run())


def test_a_mark_that_cannot_be_kept_lets_nothing_go(node: Node) -> None:
    async def run() -> None:
        awake = node.fence()
        await awake.wake()
        node.file.unlink()
        node.file.mkdir()
        with pytest.raises(StoreUnavailable):
            await awake.keep(await node.database.write(fence.raise_mark))

    asyncio.run(run())


# At HQ


def test_a_restored_hq_leases_nothing_before_the_window_has_passed_and_all_was_told_again(
    node: Node, policy: Callable[[Connection, str], None]
) -> None:
    node.do(policy, "caps: [{scope: all, contacts: 2, per: 3d, province_share: 1}]")
    node.do(provinces.enroll, "45", NOON)
    begun = asyncio.run(node.fence().fall())
    over = NOON + 3 * 86_400 + SPEND_MARGIN_SECONDS
    for now in (NOON, over - 1):
        with pytest.raises(Refusal) as refused:
            node.do(leases.check, "45", now)
        assert refused.value.reason == "RESTORE_FENCED"
        assert "may count until" in refused.value.message
    assert "45 have yet to tell" in node.do(leases.fenced, over)
    node.do(provinces.retold, "45", begun.number - 1)
    assert node.do(leases.fenced, over)
    node.do(provinces.retold, "45", begun.number)
    node.do(leases.check, "45", over)


def test_hq_counts_nothing_for_a_province_while_its_own_store_is_gone_back(node: Node) -> None:
    """A grant is leased in the transaction that looks."""

    async def run() -> None:
        awake = node.fence()
        await awake.wake()
        node.do(gone_back)
        with pytest.raises(Refusal) as refused:
            node.do(GrantService(Federation(node.database, node.clock, Bell(), awake))._acquire, "45", 1, None)
        assert refused.value.reason == "RESTORE_FENCED"

    asyncio.run(run())


@pytest.mark.parametrize(("told", "reason"), [(HEARSAY_MAX, "fall"), (HEARSAY_MAX + 1, "refused"), (1, "")])
def test_no_word_of_a_province_takes_hq_beyond_where_it_can_rise(node: Node, told: int, reason: str) -> None:
    node.do(provinces.enroll, "45", NOON)
    node.do(fence.start)
    ask = Session("45", "one", 0, NOON + 15, 1)

    def opens() -> str:
        try:
            node.do(lambda c: link.open_session(c, ask, "test", NOON, leap=0, standing=Standing(1, told, {}, {})))
        except WentBack as gone:
            asyncio.run(node.fence().fall(gone.number, gone.above))
            return "fall"
        except Refusal:
            return "refused"
        return ""

    assert opens() == reason
    told = HEARSAY_MAX + 1  # As HQ is now known by, or a lie once more.
    assert opens() == ("" if reason == "fall" else "refused")
