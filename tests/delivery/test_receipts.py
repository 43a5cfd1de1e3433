from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from common.delivery import ledger, stops
from common.delivery.claim import claim
from common.delivery.receipts import FUTURE_SECONDS_MAX, apply_receipts, apply_replies
from common.delivery.tables import stray_report
from common.kernel.channel import Channel, Receipts, ReceiptStage, Replies, Reply
from common.kernel.stop import StopScope
from common.kernel.subscriber import subscriber_keys
from common.kernel.task import TERMINAL, Response, TaskEvent, TaskReason, TaskState
from common.kernel.task_block import advance
from common.kernel.work_order import WorkOrderState
from common.runtime.database import Database

NOON = 1_800_000_000
PEOPLE = 10_020
"""Two blocks, so that reports are split among them."""
BOOKED = 10_010
relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
keys_of = partial(subscriber_keys, b"k" * 32)
NAME = "c/1/sms/hq"
KEY_MAX = (1 << 63) - 1

tasks = st.one_of(st.integers(0, 12), st.integers(9_995, PEOPLE + 5))


def receipts(rows: list[tuple[int, int, int]], channel: str = "sms", name: str = NAME) -> Receipts:
    return Receipts(
        channel=channel,
        work_orders=[name],
        work_order_refs=np.zeros(len(rows), dtype=np.uint32),
        tasks=np.array([task for task, _, _ in rows], dtype=np.uint32),
        stages=np.array([stage for _, stage, _ in rows], dtype=np.uint8),
        happened_at=np.array([at for _, _, at in rows], dtype=np.uint32),
    )


def sent(connection: Connection, people: Any, issue: Any) -> Any:
    """All of block 0 and ten people of block 1 booked, ten more open."""
    audience = people(PEOPLE)
    issue(connection, audience, numbered=False)
    for number, rows in enumerate((10_000, BOOKED - 10_000)):
        block = ledger.load_block(connection, NAME, number)
        assert block is not None
        ledger.save_block(connection, advance(block, np.arange(rows), TaskEvent.BOOK, TaskReason.NONE, NOON)[0])
    return audience


def snapshot(connection: Connection) -> list[Any]:
    columns = ("states", "reasons", "responses", "submitted_at")
    return [getattr(block, name).tobytes() for block in ledger.blocks(connection, NAME) for name in columns]


@relaxed
@given(
    fates=st.dictionaries(tasks, st.sampled_from(list(ReceiptStage)), min_size=1, max_size=25),
    data=st.data(),
)
def test_receipts_in_any_order_and_repeated_reach_the_same_end(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel, fates: Any, data: Any
) -> None:
    once = [(task, stage, NOON + 5) for task, stage in fates.items()]
    shuffled = data.draw(st.permutations(once + once[: len(once) // 2]))
    cut = data.draw(st.integers(0, len(shuffled)))
    with undone(sqlite) as connection:
        sent(connection, people, issue)
        apply_receipts(connection, receipts(once), NOON + 9, memo)
        expected = snapshot(connection)
    with undone(sqlite) as connection:
        sent(connection, people, issue)
        for part in (shuffled[:cut], shuffled[cut:]):
            strays = apply_receipts(connection, receipts(part), NOON + 9, memo)
            assert strays == sum(task >= BOOKED for task, _, _ in part)
            counted = ledger.counts(connection, NAME)
            assert sum(counted.values()) == PEOPLE
            assert counted[TaskState.OPEN] == PEOPLE - BOOKED
        assert snapshot(connection) == expected


@relaxed
@given(batches=st.lists(st.lists(st.tuples(tasks, st.integers(0, 5)), max_size=12), max_size=6))
def test_a_terminal_state_never_changes_and_sums_close(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel, batches: Any
) -> None:
    told = type(memo)()
    with undone(sqlite) as connection:
        sent(connection, people, issue)
        before = [block.states for block in ledger.blocks(connection, NAME)]
        for batch in batches:
            apply_receipts(connection, receipts([(t, s, NOON) for t, s in batch]), NOON + 9, told)
            after = [block.states for block in ledger.blocks(connection, NAME)]
            for was, now in zip(before, after, strict=True):
                assert (now[np.isin(was, TERMINAL)] == was[np.isin(was, TERMINAL)]).all()
            assert sum(ledger.counts(connection, NAME).values()) == PEOPLE
            before = after
    assert len(told.settled_rows) == len(set(told.settled_rows))


def test_receipts_for_what_was_never_sent_are_noted_and_change_nothing(
    database: Database, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with database.transaction() as connection:
        sent(connection, people, issue)
        before = snapshot(connection)
        strange = [
            receipts([(BOOKED, 1, NOON), (PEOPLE + 1, 1, NOON), (4_000_000_000, 1, NOON)]),
            receipts([(0, 1, NOON)], name="no/1/such/hq" + "x" * 300),
            receipts([(0, 1, NOON)], channel="app_push"),
            receipts([(0, 0, NOON), (1, 77, NOON)]),
            receipts([(2, 1, NOON + FUTURE_SECONDS_MAX + 1)]),
        ]
        for _ in range(2):
            assert [apply_receipts(connection, each, NOON, memo) for each in strange] == [3, 1, 1, 2, 1]
        assert snapshot(connection) == before
        assert len(connection.execute(select(stray_report)).all()) == 8


def test_a_late_receipt_leaves_the_unknown_unknown(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with undone(sqlite) as connection:
        sent(connection, people, issue)
        apply_receipts(connection, receipts([(1, ReceiptStage.UNDELIVERABLE, NOON)]), NOON, memo)
        assert apply_receipts(connection, receipts([(1, ReceiptStage.DELIVERED, NOON)]), NOON, memo) == 0
        block = ledger.load_block(connection, NAME, 0)
        assert block is not None
        assert (block.states[1], block.reasons[1]) == (TaskState.FAILED, TaskReason.UNDELIVERABLE)


def test_a_vendor_clock_never_dates_a_task_before_its_booking_or_after_now(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with undone(sqlite) as connection:
        sent(connection, people, issue)
        apply_receipts(connection, receipts([(0, 1, 5), (1, 1, NOON + 4), (2, 1, NOON + 999)]), NOON + 9, memo)
        block = ledger.load_block(connection, NAME, 0)
        assert block is not None
        assert block.settled_at[:3].tolist() == [NOON, NOON + 4, NOON + 9]


def test_the_last_receipt_completes_the_work_order_once(
    database: Database, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with database.transaction() as connection:
        order = issue(connection, people(3))
        claim(connection, order, 0, NOON, channel, 10, memo)
        apply_receipts(connection, receipts([(0, 1, NOON), (1, 2, NOON)]), NOON, memo)
        assert memo.finished_orders == []
        for _ in range(2):
            apply_receipts(connection, receipts([(2, 3, NOON)]), NOON, memo)
        assert memo.finished_orders == [order.name]
        assert sorted(memo.settled_rows) == [(NAME, 0), (NAME, 1), (NAME, 2)]
        stored = ledger.load_work_order(connection, order.name)
        assert stored is not None
        assert stored.state is WorkOrderState.COMPLETED


def test_a_work_order_is_not_complete_before_all_its_blocks_are_here(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with undone(sqlite) as connection:
        order = issue(connection, people(3), task_count=4)
        claim(connection, order, 0, NOON, channel, 10, memo)
        apply_receipts(connection, receipts([(0, 1, NOON), (1, 1, NOON), (2, 1, NOON)]), NOON, memo)
        assert memo.finished_orders == []


texts = st.sampled_from(
    [("1", Response.INTERESTED), ("N", Response.REFUSED), ("TD", Response.OPTED_OUT), ("?", Response.RESPONDED)]
)


@relaxed
@given(heard=st.lists(st.tuples(st.integers(0, 5), texts), min_size=1, max_size=15), cut=st.integers(0, 15))
def test_the_highest_reply_wins_in_any_order(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel, heard: Any, cut: int
) -> None:
    with undone(sqlite) as connection:
        audience = sent(connection, people, issue)
        every = [Reply(NAME, task, int(audience.msisdns[task]), text, NOON) for task, (text, _) in heard]
        for part in (every[:cut], every[cut:], every[::-1]):
            assert apply_replies(connection, Replies("sms", part), NOON, memo, keys_of) == 0
        block = ledger.load_block(connection, NAME, 0)
        assert block is not None
        for task in range(6):
            assert block.responses[task] == max((r for t, (_, r) in heard if t == task), default=Response.NONE)
        forbidden = {Response.OPTED_OUT: StopScope.ALL, Response.REFUSED: StopScope.REFUSED}
        told = {(int(audience.keys[t]), forbidden[r]) for t, (_, r) in heard if r in forbidden}
        keys, scopes, _ = stops.standing_between(connection, 0, KEY_MAX)
        assert set(zip(keys.tolist(), scopes.tolist(), strict=True)) == told


def test_a_stop_counts_whatever_it_answers(
    database: Database, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with database.transaction() as connection:
        audience = sent(connection, people, issue)
        numbers = audience.msisdns.tolist()
        replies = [
            Reply("no/1/such/hq", 0, numbers[0], "TD", NOON),
            Reply(NAME, PEOPLE + 7, numbers[1], "退订", NOON),
            Reply(NAME, 2, numbers[3], "T", NOON),
            Reply(NAME, 4, 8613999999999, "stop", NOON + 10 * FUTURE_SECONDS_MAX),
        ]
        for _ in range(2):
            assert apply_replies(connection, Replies("sms", replies), NOON, memo, keys_of) == 4
        expected = [*audience.keys[[0, 1, 3]].tolist(), int(keys_of([8613999999999])[0])]
        assert sorted(memo.stops) == [(key, StopScope.ALL) for key in sorted(expected)]
        known = stops.all_stops(connection)
        assert known.keys.tolist() == sorted(expected)
        assert set(known.stopped_at.tolist()) == {NOON}
        block = ledger.load_block(connection, NAME, 0)
        assert block is not None
        # A reply from another number than the task's says nothing about the task.
        assert not block.responses.any()


def test_a_reply_is_announced_once_its_task_is_settled(
    sqlite: Database, undone: Any, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    with undone(sqlite) as connection:
        audience = sent(connection, people, issue)
        yes = [Reply(NAME, 0, int(audience.msisdns[0]), "1", NOON)]
        apply_replies(connection, Replies("sms", yes), NOON, memo, keys_of)
        assert memo.settled_rows == []
        apply_receipts(connection, receipts([(0, 1, NOON)]), NOON, memo)
        no = [Reply(NAME, 0, int(audience.msisdns[0]), "N", NOON)]
        for _ in range(2):
            apply_replies(connection, Replies("sms", no), NOON, memo, keys_of)
        assert memo.settled_rows == [(NAME, 0), (NAME, 0)]
