from __future__ import annotations

from dataclasses import replace
from datetime import time
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from common.delivery import fence, ledger, policies, stops, vault
from common.delivery.claim import Claimed, claim, reclaim, take
from common.delivery.orders import put_orders
from common.delivery.receipts import apply_receipts
from common.delivery.record import NO_ANSWER, Recorded, Sent, record
from common.kernel.channel import Channel, Receipts, ReceiptStage, SendOutcome, VendorTerms
from common.kernel.incarnation import UNDATED, Incarnation
from common.kernel.order import OrderChange, OrderRecords
from common.kernel.policy import DEFAULT, SUBMIT_SECONDS
from common.kernel.stop import Stops, stops_of
from common.kernel.task import TaskReason, TaskState
from common.kernel.work_order import WorkOrderState
from common.runtime.database import Database

NOON = 1_800_000_000
PEOPLE = 12
TERMS = VendorTerms(batch_max=100, messages_per_second_max=1000, dedupe_seconds=86_400)
some_people = st.sets(st.integers(0, PEOPLE - 1))
relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def orders_of(keys: np.ndarray, offer: str, change: OrderChange = OrderChange.SUBSCRIBED) -> OrderRecords:
    rows = len(keys)
    return OrderRecords(
        source_systems=["bss45"] * rows,
        order_numbers=[f"{offer}-{key}" for key in keys.tolist()],
        revisions=np.ones(rows, dtype=np.int64),
        keys=keys,
        offers=[offer] * rows,
        changes=np.full(rows, change, dtype=np.uint8),
        amounts_fen=np.zeros(rows, dtype=np.int64),
        accepted_at=np.full(rows, NOON - 99, dtype=np.uint32),
    )


def stopped(keys: np.ndarray, at: int, *, lifted: bool = False) -> Stops:
    return stops_of(keys, np.full(len(keys), at, dtype=np.uint32), np.full(len(keys), lifted))


def recorded(connection: Connection, claimed: Claimed, outcomes: Any, dedupes: bool, now: int, outlet: Any) -> Recorded:
    (done,) = record(connection, [Sent(claimed, outcomes, now * 1000)], dedupes, now, outlet)
    return done


@relaxed
@given(
    stopped=some_people,
    owners=some_people,
    inactive=some_people,
    unknown=some_people,
    limit=st.integers(0, PEOPLE),
)
def test_nobody_is_booked_whom_a_rule_forbids(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel, **rules: Any
) -> None:
    audience = people(PEOPLE)

    def keys(rows: Any) -> np.ndarray:
        return audience.keys[sorted(rows)]

    with undone(sqlite) as connection:
        known = sorted(set(range(PEOPLE)) - rules["unknown"])
        order = issue(connection, audience, numbered=False)
        vault.put_subscribers(connection, audience.keys[known], audience.msisdns[known], 45)
        vault.set_active(connection, keys(rules["inactive"]), np.zeros(len(rules["inactive"]), dtype=np.bool_))
        stops.put_stops(connection, stopped(keys(rules["stopped"]), 5))
        put_orders(connection, orders_of(keys(rules["owners"]), "offer-1"), NOON)
        put_orders(connection, orders_of(audience.keys, "another offer"), NOON)

        expected, booked = [], 0
        for row in range(PEOPLE):
            if row in rules["stopped"]:
                reason = TaskReason.STOPPED
            elif row in rules["inactive"] and row not in rules["unknown"]:
                reason = TaskReason.INACTIVE
            elif row in rules["owners"]:
                reason = TaskReason.ORDERED
            else:
                reason = TaskReason.NO_NUMBER if row in rules["unknown"] else TaskReason.NONE
            state = TaskState.SUPPRESSED if reason else TaskState.OPEN
            if not reason and booked < rules["limit"]:
                state, booked = TaskState.SUBMITTING, booked + 1
            expected.append((state, reason))

        claimed = claim(connection, order, 0, NOON, channel, rules["limit"], memo)
        stored = ledger.load_block(connection, order.name, 0)
        assert stored is not None
        assert list(zip(stored.states.tolist(), stored.reasons.tolist(), strict=True)) == expected
        assert claimed.rows.tolist() == [row for row in range(PEOPLE) if expected[row][0] == TaskState.SUBMITTING]
        assert claimed.msisdns.tolist() == audience.msisdns[claimed.rows].tolist()
        assert (stored.submitted_at[claimed.rows] == NOON).all()


def test_a_lifted_stop_and_an_ended_order_forbid_nothing(
    database: Database, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    audience = people(4)
    with database.transaction() as connection:
        order = issue(connection, audience)
        for lifted in (False, True):
            stops.put_stops(connection, stopped(audience.keys[:2], 5 + lifted, lifted=lifted))
        put_orders(connection, orders_of(audience.keys[2:], "offer-1"), NOON)
        ended = replace(orders_of(audience.keys[2:], "offer-1", OrderChange.REVERSED), revisions=np.full(2, 2))
        put_orders(connection, ended, NOON)
        assert len(claim(connection, order, 0, NOON, channel, 10, memo).rows) == 4


def test_a_work_order_that_may_not_run_is_untouched(
    database: Database, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    quiet = replace(channel, quiet_from=time(0), quiet_until=time(23, 59, 59))
    with database.transaction() as connection:
        order = issue(connection, people(5))
        ledger.set_state(connection, order.name, WorkOrderState.PAUSED)
        assert len(claim(connection, order, 0, NOON, channel, 10, memo).rows) == 0
        ledger.set_state(connection, order.name, WorkOrderState.ACCEPTED)
        assert len(claim(connection, order, 0, NOON - 61, channel, 10, memo).rows) == 0
        assert len(claim(connection, order, 0, NOON, quiet, 10, memo).rows) == 0
        assert ledger.counts(connection, order.name)[TaskState.OPEN] == 5
        assert len(claim(connection, order, 0, NOON, channel, 10, memo).rows) == 5


def test_open_tasks_of_a_cancelled_or_ended_work_order_end(
    database: Database, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with database.transaction() as connection:
        cancelled = issue(connection, people(5), name="a/1/sms/hq", state=WorkOrderState.CANCELLED)
        ended = issue(connection, people(5), name="b/1/sms/hq")
        claim(connection, cancelled, 0, NOON, channel, 10, memo)
        claim(connection, ended, 0, NOON + 3600, channel, 10, memo)
        assert ledger.counts(connection, cancelled.name)[TaskState.SUPPRESSED] == 5
        assert ledger.counts(connection, ended.name)[TaskState.EXPIRED] == 5
        assert len(memo.settled_rows) == 10
        assert sorted(memo.finished_orders) == ["a/1/sms/hq", "b/1/sms/hq"]


def test_nothing_booked_may_leave_after_the_validity(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with undone(sqlite) as connection:
        order = issue(connection, people(5))
        assert claim(connection, order, 0, NOON, channel, 2, memo).submit_by == NOON + SUBMIT_SECONDS
        assert claim(connection, order, 0, order.end_at - 5, channel, 2, memo).submit_by == order.end_at


def test_work_orders_go_by_priority_then_start_then_name(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with undone(sqlite) as connection:
        issue(connection, people(2), name="a/1/sms/hq", start_at=NOON - 5)
        issue(connection, people(4), name="b/1/sms/hq", start_at=NOON - 9)
        issue(connection, people(6), name="c/1/sms/hq", priority=1)
        issue(connection, people(8), name="d/1/app_push/hq", priority=9)
        issue(connection, people(8), name="e/1/sms/45", priority=9)
        busy: set[tuple[str, int]] = set()
        names = []
        while taken := take(connection, "hq", channel, TERMS, NOON, 10, busy, memo):
            names += [claimed.work_order.name for claimed in taken]
            busy.update((claimed.work_order.name, claimed.block.number) for claimed in taken)
        assert names == ["c/1/sms/hq", "b/1/sms/hq", "a/1/sms/hq"]


def test_many_small_blocks_are_claimed_at_once_up_to_a_limit_of_messages(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    def taken(limit: int, blocks: int) -> list[tuple[str, int, int]]:
        with undone(sqlite) as connection:
            for name, tasks in (("a", 2), ("b", 3), ("c", 4)):
                issue(connection, people(tasks), name=f"{name}/1/sms/hq")
            found = take(connection, "hq", channel, TERMS, NOON, limit, (), memo, blocks=blocks)
            assert len({claimed.mark for claimed in found}) == 1
            return [(claimed.work_order.campaign, len(claimed.rows), claimed.block.number) for claimed in found]

    assert taken(9, 2) == [("a", 2, 0), ("b", 3, 0)]
    assert taken(9, 9) == [("a", 2, 0), ("b", 3, 0), ("c", 4, 0)]
    assert taken(4, 9) == [("a", 2, 0), ("b", 2, 0)]


def test_a_throttled_message_is_no_contact_and_can_be_claimed_again(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with undone(sqlite) as connection:
        order = issue(connection, people(3))
        claimed = claim(connection, order, 0, NOON, channel, 10, memo)
        outcomes = np.array([SendOutcome.THROTTLED, SendOutcome.ACCEPTED, SendOutcome.REFUSED], dtype=np.uint8)
        done = recorded(connection, claimed, outcomes, True, NOON, memo)
        assert (done.accepted, done.pending) == (1, 1)
        block = ledger.load_block(connection, order.name, 0)
        assert block is not None
        assert block.states.tolist() == [TaskState.OPEN, TaskState.SUBMITTED, TaskState.FAILED]
        assert block.submitted_at.tolist() == [0, NOON, 0]
        assert claim(connection, order, 0, NOON + 1, channel, 10, memo).rows.tolist() == [0]


def test_an_unanswered_message_is_lost_where_the_vendor_cannot_tell_repeats(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with undone(sqlite) as connection:
        order = issue(connection, people(3))
        claimed = claim(connection, order, 0, NOON, channel, 10, memo)
        recorded(connection, claimed, np.full(3, NO_ANSWER, dtype=np.uint8), False, NOON, memo)
        assert ledger.counts(connection, order.name)[TaskState.UNKNOWN] == 3
        assert len(reclaim(connection, order, 0, NOON, channel, TERMS, memo).rows) == 0


def test_what_a_crash_left_is_sent_again_only_while_the_vendor_recognises_it(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    audience = people(4)
    for dedupe_seconds, waited, expected in ((0, 0, 0), (600, 500, 3), (600, 541, 0), (10**6, 86_341, 3)):
        terms = replace(TERMS, dedupe_seconds=dedupe_seconds)
        with undone(sqlite) as connection:
            order = issue(connection, audience, end_at=NOON + 10**6)
            claim(connection, order, 0, NOON, channel, 10, memo)
            stops.put_stops(connection, stopped(audience.keys[:1], NOON))
            again = reclaim(connection, order, 0, NOON + waited, channel, terms, memo)
            assert len(again.rows) == expected
            counted = ledger.counts(connection, order.name)
            # Who said stop since is not sent to again, but a receipt may yet tell that they were reached.
            assert counted[TaskState.SUBMITTED] == (1 if expected else 0)
            assert counted[TaskState.UNKNOWN] == (0 if expected else 4)


def test_a_message_taken_at_some_sending_may_have_been_a_contact_as_late_as_the_last(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with undone(sqlite) as connection:
        order = issue(connection, people(4))
        claim(connection, order, 0, NOON, channel, 10, memo)
        again = reclaim(connection, order, 0, NOON + 300, channel, TERMS, memo)
        outcomes = np.array([SendOutcome.ACCEPTED, SendOutcome.DUPLICATE, SendOutcome.THROTTLED, NO_ANSWER], np.uint8)
        done = recorded(connection, again, outcomes, True, NOON + 301, memo)
        block = ledger.load_block(connection, order.name, 0)
        assert block is not None
        assert block.submitted_at.tolist() == [NOON + 301, NOON + 301, NOON, NOON]
        # Throttled now, perhaps taken before: nobody may say it was no contact.
        assert block.states.tolist() == [TaskState.SUBMITTED] * 2 + [TaskState.SUBMITTING] * 2
        assert done.pending == 2


@pytest.mark.parametrize("sent_again_at", [NOON + 20, NOON + 300])
@pytest.mark.parametrize(
    "outcome", [SendOutcome.ACCEPTED, SendOutcome.DUPLICATE, SendOutcome.THROTTLED, NO_ANSWER, None]
)
def test_a_receipt_faster_than_the_answer_leaves_the_contact_a_date_no_window_outlives(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel, outcome: int | None,
    sent_again_at: int,
) -> None:  # fmt: skip
    """Whatever the answer is, or where none is recorded (None), as when the node dies first."""
    with undone(sqlite) as connection:
        order = issue(connection, people(1))
        claim(connection, order, 0, NOON, channel, 10, memo)
        again = reclaim(connection, order, 0, sent_again_at, channel, TERMS, memo)
        first, stages = np.zeros(1, np.uint32), np.array([ReceiptStage.DELIVERED], np.uint8)
        delivered = Receipts("sms", [order.name], first, first, stages, np.array([sent_again_at], np.uint32))
        apply_receipts(connection, delivered, sent_again_at + 1, memo)
        if outcome is not None:
            recorded(connection, again, np.array([outcome], np.uint8), True, sent_again_at + 2, memo)
        block = ledger.load_block(connection, order.name, 0)
        assert block is not None
        assert block.states.tolist() == [TaskState.DELIVERED]
        assert block.submitted_at[0] + SUBMIT_SECONDS >= sent_again_at
        assert block.settled_at[0] >= block.submitted_at[0]
        assert memo.settled_rows[-1] == (order.name, 0), "HQ was told of this date"


def test_an_answer_that_tells_of_a_later_contact_is_told_again(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with undone(sqlite) as connection:
        order = issue(connection, people(1))
        claim(connection, order, 0, NOON, channel, 10, memo)
        again = reclaim(connection, order, 0, NOON + 30, channel, TERMS, memo)
        first, stages = np.zeros(1, np.uint32), np.array([ReceiptStage.DELIVERED], np.uint8)
        delivered = Receipts("sms", [order.name], first, first, stages, np.array([NOON + 30], np.uint32))
        apply_receipts(connection, delivered, NOON + 31, memo)
        recorded(connection, again, np.array([SendOutcome.ACCEPTED], np.uint8), True, NOON + 300, memo)
        block = ledger.load_block(connection, order.name, 0)
        assert block is not None
        assert block.submitted_at.tolist() == [NOON + 300]
        assert memo.settled_rows == [(order.name, 0)] * 2


def test_what_a_stop_keeps_from_being_sent_again_may_have_been_sent_until_now(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    audience = people(1)
    with undone(sqlite) as connection:
        order = issue(connection, audience)
        claim(connection, order, 0, NOON, channel, 10, memo)
        again = reclaim(connection, order, 0, NOON + 300, channel, TERMS, memo)
        recorded(connection, again, np.array([NO_ANSWER], np.uint8), True, NOON + 301, memo)
        stops.put_stops(connection, stopped(audience.keys, NOON + 302))
        assert len(reclaim(connection, order, 0, NOON + 303, channel, TERMS, memo).rows) == 0
        block = ledger.load_block(connection, order.name, 0)
        assert block is not None
        assert block.states.tolist() == [TaskState.SUBMITTED]
        assert block.submitted_at.tolist() == [NOON + 303]


def test_a_channel_takes_no_more_in_a_day_than_its_capacity_whoever_issued_it(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    midnight = NOON - (NOON + 8 * 3600) % 86_400
    terms, policy = replace(TERMS, dedupe_seconds=600), replace(DEFAULT, caps=(), capacities=(("sms", 5),))
    monkeypatch.setattr(policies, "in_force", lambda _connection: policy)

    def booked(connection: Connection, now: int) -> int:
        rows = 0
        while (taken := take(connection, "hq", channel, terms, now, 3, (), memo)) and len(taken[0].rows):
            (claimed,) = taken
            rows += len(claimed.rows)
            recorded(connection, claimed, np.full(len(claimed.rows), SendOutcome.ACCEPTED, np.uint8), True, now, memo)
        assert not taken, "a lane that is answered has work"
        return rows

    with undone(sqlite) as connection:
        for name, leased in (("a/1/sms/hq", True), ("b/1/sms/hq", False)):
            issue(connection, people(8), name=name, leased=leased, start_at=midnight - 99, end_at=midnight + 10**6)
        assert booked(connection, midnight - 10) == 5
        assert booked(connection, midnight + 20) == 0, "the vendor may have taken them a moment ago"
        assert booked(connection, midnight + 86_400 - 61) == 0
        assert booked(connection, midnight + 86_400) == 5
        assert booked(connection, midnight + 2 * 86_400) == 5


def test_what_was_not_answered_for_keeps_its_place_on_the_next_day(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    midnight = NOON - (NOON + 8 * 3600) % 86_400
    policy = replace(DEFAULT, caps=(), capacities=(("sms", 5),))
    monkeypatch.setattr(policies, "in_force", lambda _connection: policy)
    with undone(sqlite) as connection:
        for name in ("a/1/sms/hq", "b/1/sms/hq"):
            issue(connection, people(8), name=name, start_at=midnight - 9_999, end_at=midnight + 10**6)
        (unanswered,) = take(connection, "hq", channel, TERMS, midnight - 3_600, 2, (), memo)
        again, anew = take(connection, "hq", channel, TERMS, midnight + 3_600, 10, (), memo, blocks=2)
        assert (again.resent, again.rows.tolist()) == (True, unanswered.rows.tolist())
        assert (anew.resent, len(anew.rows)) == (False, 3)


@pytest.mark.parametrize("fenced_after", [-61, -60, 0, 3_600, UNDATED])
def test_on_the_day_of_a_restore_a_channel_with_a_capacity_takes_nothing_more(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel,
    monkeypatch: pytest.MonkeyPatch, fenced_after: int,
) -> None:  # fmt: skip
    midnight = NOON - (NOON + 8 * 3600) % 86_400
    fenced_at = UNDATED if fenced_after == UNDATED else midnight + fenced_after
    with undone(sqlite) as connection:
        issue(connection, people(8), start_at=midnight - 9_999, end_at=midnight + 10**6)
        fence.put(connection, Incarnation(2, 1, fenced_at))
        policy = replace(DEFAULT, caps=(), capacities=(("sms", 5),))
        monkeypatch.setattr(policies, "in_force", lambda _connection: policy)
        taken = take(connection, "hq", channel, TERMS, midnight + 7_200, 10, (), memo)
        assert [len(claimed.rows) for claimed in taken] == ([5] if fenced_after == -61 else [])
