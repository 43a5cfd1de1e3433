"""What a restored HQ believes of a province that tells it of work orders HQ does not know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Connection

from common.courier import log
from common.courier.cursor import Place
from common.courier.standing import Standing
from common.delivery import fence, ledger
from common.kernel.incarnation import Incarnation, Retold
from common.kernel.refusal import Refusal
from common.kernel.result import results_of
from common.kernel.task import TaskEvent, TaskReason, TaskState
from common.kernel.task_block import advance, open_block
from common.kernel.work_order import WorkOrder, WorkOrderState
from common.runtime.database import Database
from hq import link
from hq.store import feed, provinces, sessions, uplink, work_orders
from hq.store.sessions import Session

NOW = 1_790_000_000
LOST = WorkOrder("c/1/local_sms/45", "c", 1, "local_sms", "45", "offer", NOW, NOW + 60, 5, 1)


def hq_restored(connection: Connection) -> None:
    """As its second incarnation."""
    fence.put(connection, Incarnation(number=2, mark=9, fenced_at=NOW))
    provinces.enroll(connection, "45", NOW)


def province_opens(
    connection: Connection,
    incarnation: int,
    hq_incarnation: int,
    reads: Mapping[str, Place] | None = None,
    instance: str = "one",
) -> None:
    ask = Session("45", instance, 0, NOW + 10, 1)
    standing = Standing(incarnation, hq_incarnation, reads or {}, {})
    link.open_session(connection, ask, "test", NOW, leap=0, takeover=True, standing=standing)


def tell(connection: Connection, *values: WorkOrder | Retold) -> None:
    uplink.apply(connection, "45", values, NOW)


def test_a_province_restored_after_it_had_told_everything_may_bring_what_the_lost_hq_issued(
    database: Database,
) -> None:
    with database.transaction() as connection:
        hq_restored(connection)
        province_opens(connection, incarnation=1, hq_incarnation=1)
        tell(connection, Retold(2))
        with pytest.raises(Refusal, match="may make"):
            tell(connection, LOST)
        province_opens(connection, incarnation=2, hq_incarnation=1)
        tell(connection, LOST, Retold(2))
        assert ledger.load_work_order(connection, LOST.name) is not None


def test_so_may_one_that_was_restored_and_has_nothing_by_which_to_notice(database: Database) -> None:
    """No contact was booked since its backup, so it is the incarnation it was."""
    with database.transaction() as connection:
        hq_restored(connection)
        province_opens(connection, incarnation=1, hq_incarnation=1)
        tell(connection, Retold(2))
        province_opens(connection, incarnation=1, hq_incarnation=2)
        with pytest.raises(Refusal, match="may make"):
            tell(connection, LOST)
        province_opens(connection, incarnation=1, hq_incarnation=1, instance="two")
        tell(connection, LOST, Retold(2))
        assert ledger.load_work_order(connection, LOST.name) is not None


def test_the_same_opening_once_more_does_not_ask_for_everything_again(database: Database) -> None:
    with database.transaction() as connection:
        hq_restored(connection)
        province_opens(connection, incarnation=2, hq_incarnation=1)
        tell(connection, Retold(2))
        province_opens(connection, incarnation=2, hq_incarnation=1)
        assert provinces.has_retold(connection, "45", 2)


def test_a_work_order_still_waiting_for_its_tasks_comes_back_as_it_was_issued(database: Database) -> None:
    waiting = replace(LOST, state=WorkOrderState.ISSUED, version=0)
    with database.transaction() as connection:
        hq_restored(connection)
        tell(connection, waiting)
        assert ledger.load_work_order(connection, LOST.name) == LOST


@pytest.mark.parametrize(("incarnation", "reads_anew"), [(1, False), (2, True)])
def test_a_restored_hq_shows_a_restored_province_again_what_is_not_over(
    database: Database, incarnation: int, reads_anew: bool
) -> None:
    with database.transaction() as connection:
        hq_restored(connection)
        feed.put(connection, "45", [LOST], NOW)
        place = log.head_place(connection, "45", "work_orders")
        province_opens(connection, incarnation, 1, {"work_orders": place})
        session = sessions.load(connection, "45")
        assert session is not None
        found = link.look(connection, "45", "work_orders", session.fence, place, window=10)
        assert found == (None if reads_anew else place.sequence)


def test_what_is_shown_again_stands_above_what_a_lost_hq_had_shown(database: Database) -> None:
    with database.transaction() as connection:
        hq_restored(connection)
        log.append(connection, "45", "work_orders", [b"told and dropped"], NOW)
        told = log.commit(connection, "45", "work_orders", log.head_place(connection, "45", "work_orders"))
        log.compact(connection, "45", "work_orders", told)
        # A lost HQ had begun the next epoch as well, and the province stands at its beginning.
        stands = Place(epoch=2, sequence=0, chain=0)
        province_opens(connection, 2, 1, {"work_orders": stands})
        session = sessions.load(connection, "45")
        assert session is not None
        assert link.look(connection, "45", "work_orders", session.fence, stands, window=10) is None


@pytest.mark.parametrize(
    ("start_at", "incarnation", "state"),
    [
        (NOW, 2, TaskState.UNKNOWN),
        (NOW, 1, TaskState.SUPPRESSED),
        (NOW + 1, 2, TaskState.SUPPRESSED),
    ],
)
def test_what_a_lost_hq_may_have_issued_to_a_province_restored_since_is_not_said_to_be_unsent(
    database: Database, start_at: int, incarnation: int, state: TaskState
) -> None:
    """The contact cap forbids it; but that it was never made nobody knows."""
    later = NOW + 30 * 86_400
    order = replace(LOST, start_at=start_at, end_at=later + 60, task_count=1)
    rival = replace(order, name="d/1/local_sms/45", campaign="d")
    keys = np.array([7], dtype=np.int64)
    with database.transaction() as connection:
        hq_restored(connection)
        provinces.met(connection, "45", incarnation)
        provinces.retold(connection, "45", 2)
        for each in (rival, order):
            ledger.put_work_order(connection, each)
        ledger.insert_block(connection, open_block(rival.name, 0, keys, ("",), np.zeros(1, dtype=np.uint32)))
        block = open_block(order.name, 0, keys, ("",), np.zeros(1, dtype=np.uint32))
        work_orders.cut(connection, order, [block], later)
        assert ledger.load_block(connection, order.name, 0).states.tolist() == [state]


@pytest.mark.parametrize(
    ("incarnation", "told", "reason", "kept"),
    [
        (2, TaskState.DELIVERED, TaskReason.NONE, TaskState.DELIVERED),
        (2, TaskState.FAILED, TaskReason.UNDELIVERABLE, TaskState.FAILED),
        (2, TaskState.EXPIRED, TaskReason.VENDOR_EXPIRED, TaskState.EXPIRED),
        (2, TaskState.EXPIRED, TaskReason.VALIDITY_OVER, TaskState.SUPPRESSED),
        (2, TaskState.UNKNOWN, TaskReason.RESTORED, TaskState.SUPPRESSED),
        (1, TaskState.DELIVERED, TaskReason.NONE, TaskState.SUPPRESSED),
    ],
)
def test_a_vendor_knows_better_than_a_restored_hq_that_remembers_to_have_suppressed_a_task(
    database: Database, incarnation: int, told: TaskState, reason: TaskReason, kept: TaskState
) -> None:
    """It may have issued it again, in a history it lost. One that was never restored has not."""
    block = open_block(LOST.name, 0, np.array([7], dtype=np.int64), ("",), np.zeros(1, dtype=np.uint32))
    first = np.zeros(1, dtype=np.int64)
    suppressed, _ = advance(block, first, TaskEvent.SUPPRESS, TaskReason.CONTACT_CAP, NOW)
    column = np.array([told], dtype=np.uint8), np.array([reason], dtype=np.uint8)
    ended = replace(block, states=column[0], reasons=column[1], settled_at=np.full(1, NOW + 9, dtype=np.uint32))
    with database.transaction() as connection:
        provinces.enroll(connection, "45", NOW)
        fence.put(connection, Incarnation(number=incarnation, mark=9))
        ledger.put_work_order(connection, LOST)
        ledger.insert_block(connection, suppressed)
        for _ in range(2):
            uplink.apply(connection, "45", [results_of(ended, first)], NOW + 10)
        found = ledger.load_block(connection, LOST.name, 0)
        assert (found.states.tolist(), found.reasons.tolist()) == (
            ([told], [reason]) if kept is told else ([kept], [TaskReason.CONTACT_CAP])
        )
