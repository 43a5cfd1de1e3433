"""Who has contacts left, by a store that has seen any history, against a plain count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from common.courier import tables as courier_tables
from common.delivery import decisions, ledger, policies
from common.delivery import tables as delivery_tables
from common.kernel.contact_rules import AT_ISSUE, Considered, reasons
from common.kernel.policy import DEFAULT, SPEND_MARGIN_SECONDS, CapRule, Mode, Policy, Scope
from common.kernel.task import TaskEvent, TaskReason, TaskState
from common.kernel.task_block import TaskBlock, advance, open_block
from common.kernel.work_order import WorkOrder, WorkOrderState, work_order_name
from common.runtime.database import Database
from hq.store import coordination
from hq.store import tables as hq_tables

NOW = 1_800_000_000
PEOPLE = 6
DAY = 86_400
KEYS = np.arange(10, 10 + PEOPLE, dtype=np.int64)
relaxed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class _UndoError(Exception):
    pass


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('budget') / 'node.db'}")
    database.create(courier_tables.metadata, delivery_tables.metadata, hq_tables.metadata)
    yield database
    database.close()


@contextmanager
def undone(database: Database) -> Iterator[Connection]:
    try:
        with database.transaction() as connection:
            yield connection
            raise _UndoError
    except _UndoError:
        pass


def order_of(campaign: str, channel: str = "sms", node: str = "hq", **changed: object) -> WorkOrder:
    fields: dict[str, object] = {
        "name": work_order_name(campaign, 1, channel, node),
        "campaign": campaign,
        "wave": 1,
        "channel": channel,
        "node": node,
        "offer": "o",
        "start_at": NOW,
        "end_at": NOW + DAY,
        "priority": 1,
        "task_count": PEOPLE,
        "state": WorkOrderState.ACCEPTED,
    }
    return WorkOrder(**fields | changed)  # type: ignore[arg-type]


def block_of(order: WorkOrder, keys: np.ndarray = KEYS) -> TaskBlock:
    return open_block(order.name, 0, keys, ("x",), np.zeros(len(keys), dtype=np.uint32))


def put(connection: Connection, order: WorkOrder, block: TaskBlock) -> None:
    ledger.put_work_order(connection, order)
    ledger.insert_block(connection, block)


def in_force(monkeypatch: pytest.MonkeyPatch, policy: Policy) -> None:
    monkeypatch.setattr(policies, "in_force", lambda _connection: policy)


ENDS = {
    "open": None,
    "submitting": TaskEvent.BOOK,
    "submitted": TaskEvent.ACCEPT,
    "delivered": TaskEvent.DELIVER,
    "lost": TaskEvent.LOSE,
    "refused": TaskEvent.REFUSE,
    "suppressed": TaskEvent.SUPPRESS,
}

past_task = st.tuples(
    st.integers(0, PEOPLE - 1),
    st.sampled_from(sorted(ENDS)),
    st.sampled_from([0, 1, 5, DAY - 1, DAY, DAY + SPEND_MARGIN_SECONDS - 1, DAY + SPEND_MARGIN_SECONDS, 3 * DAY]),
)
past_orders = st.lists(
    st.tuples(
        st.sampled_from(["sms", "app_push", "local_sms"]),
        st.sampled_from(["", "data"]),
        st.booleans(),
        st.booleans(),
        st.lists(past_task, max_size=PEOPLE, unique_by=lambda each: each[0]),
    ),
    max_size=4,
)
caps = st.lists(
    st.builds(
        lambda scope, contacts, window, share: CapRule(*scope, contacts, window, min(share, contacts)),
        st.sampled_from([(Scope.ALL, ""), (Scope.CHANNEL_CLASS, "message"), (Scope.PRODUCT_LINE, "data")]),
        st.integers(1, 3),
        st.sampled_from([1, DAY]),
        st.integers(0, 2),
    ),
    max_size=3,
)


def aged(block: TaskBlock, row: int, end: str, ago: int) -> TaskBlock:
    """A task that was submitted, or settled, `ago` seconds before now."""
    steps = {
        "submitting": [TaskEvent.BOOK],
        "submitted": [TaskEvent.BOOK, TaskEvent.ACCEPT],
        "delivered": [TaskEvent.BOOK, TaskEvent.DELIVER],
        "lost": [TaskEvent.BOOK, TaskEvent.LOSE],
        "refused": [TaskEvent.BOOK, TaskEvent.REFUSE],
        "suppressed": [TaskEvent.SUPPRESS],
    }
    for event in steps.get(end, []):
        block, _ = advance(block, np.array([row]), event, TaskReason.NO_ANSWER, NOW - ago)
    return block


def counted(rule: CapRule, order: WorkOrder, end: str, ago: int) -> bool:
    """Whether a task counts against the rule, said plainly."""
    classes = {"sms": "message", "local_sms": "message", "app_push": "push"}
    if not rule.covers(classes[order.channel], order.product_line) or order.service or not order.leased:
        return False
    if end in ("open", "submitting"):
        return True
    return end in ("submitted", "delivered", "lost") and NOW - ago + rule.window_seconds + SPEND_MARGIN_SECONDS > NOW


@relaxed
@given(
    history=past_orders,
    rules=caps,
    channel=st.sampled_from(["sms", "app_push"]),
    line=st.sampled_from(["", "data"]),
    mode=st.sampled_from(Mode),
)
def test_hq_issues_to_exactly_those_with_contacts_left(
    store: Database, monkeypatch: pytest.MonkeyPatch, history: list, rules: list, channel: str, line: str, mode: Mode
) -> None:
    policy = Policy(version=3, caps=tuple(rules), mode=mode)
    in_force(monkeypatch, policy)
    used = np.zeros((len(rules), PEOPLE), dtype=int)
    with undone(store) as connection:
        for number, (past_channel, past_line, service, leased, tasks) in enumerate(history):
            order = order_of(f"p{number}", past_channel, product_line=past_line, service=service, leased=leased)
            block, touched = block_of(order), {row for row, *_ in tasks}
            idle = np.array([row for row in range(PEOPLE) if row not in touched], dtype=np.intp)
            block, _ = advance(block, idle, TaskEvent.SUPPRESS, TaskReason.STOPPED, NOW)
            for row, end, ago in tasks:
                block = aged(block, row, end, ago)
                for place, rule in enumerate(rules):
                    used[place, row] += counted(rule, order, end, ago)
            put(connection, order, block)
        asked = order_of("new", channel, product_line=line)
        (allowed,) = coordination.allow(connection, asked, [block_of(asked)], NOW)
        expected = np.zeros(PEOPLE, dtype=bool)
        for place, rule in enumerate(rules):
            if rule.covers({"sms": "message", "app_push": "push"}[channel], line):
                expected |= used[place] >= policy.own_contacts(rule, province=False)
        assert ((allowed.states == TaskState.SUPPRESSED) == expected).all()
        assert (allowed.reasons[expected] == TaskReason.CONTACT_CAP).all()
        (made,) = decisions.of_block(connection, asked.name, 0)
        again = Considered(len(made.rows), coordination.facts.terms_of(asked), policy, made.facts, made.decided_at)
        assert (reasons(AT_ISSUE, again) == allowed.reasons).all()


def test_the_contact_that_left_none_is_named(store: Database) -> None:
    with undone(store) as connection:
        for name, row in (("first", 0), ("second", 1)):
            order = order_of(name)
            block, _ = advance(block_of(order), np.delete(np.arange(PEOPLE), row), TaskEvent.SUPPRESS, 1, NOW)
            put(connection, order, block)
        asked = order_of("third")
        (allowed,) = coordination.allow(connection, asked, [block_of(asked)], NOW)
        assert np.flatnonzero(allowed.states == TaskState.SUPPRESSED).tolist() == [0, 1]
        (made,) = decisions.of_block(connection, asked.name, 0)
        rival = made.facts[coordination.RIVAL]
        assert rival.places.tolist() == [0, 1]
        assert [made.rivals[ref] for ref in rival.values.tolist()] == ["first/1/sms/hq", "second/1/sms/hq"]


def test_a_service_notice_asks_no_cap_and_counts_in_none(store: Database) -> None:
    with undone(store) as connection:
        for number in range(9):
            order = order_of(f"s{number}", service=True)
            (block,) = coordination.allow(connection, order, [block_of(order)], NOW)
            assert (block.states == TaskState.OPEN).all()
            put(connection, order, block)
        asked = order_of("m")
        (block,) = coordination.allow(connection, asked, [block_of(asked)], NOW)
        assert (block.states == TaskState.OPEN).all()


def test_a_channel_with_a_capacity_is_filled_and_no_further(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    in_force(monkeypatch, replace(DEFAULT, caps=(), capacities=(("outbound_call", 4),)))
    with undone(store) as connection:
        taken = []
        for name in ("a", "b", "c"):
            order = order_of(name, "outbound_call", "45")
            (block,) = coordination.allow(connection, order, [block_of(order)], NOW)
            put(connection, order, block)
            taken.append(int((block.states == TaskState.OPEN).sum()))
            assert set(block.reasons[block.states == TaskState.SUPPRESSED].tolist()) <= {TaskReason.CAPACITY}
        assert taken == [4, 0, 0]
        (elsewhere,) = coordination.allow(connection, order_of("d", "outbound_call", "44"), [block_of(order)], NOW)
        assert int((elsewhere.states == TaskState.OPEN).sum()) == 4


def test_equals_that_begin_together_share_a_channels_places(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    in_force(monkeypatch, replace(DEFAULT, caps=(), capacities=(("outbound_call", 4),)))
    with undone(store) as connection:
        asked = [order_of(name, "outbound_call", "45", priority=rank) for name, rank in (("a", 2), ("b", 2), ("c", 1))]
        for order in asked:
            ledger.put_work_order(connection, order)
        taken = []
        for order in asked:
            (block,) = coordination.allow(connection, order, [block_of(order)], NOW)
            ledger.insert_block(connection, block)
            taken.append(int((block.states == TaskState.OPEN).sum()))
        assert taken == [2, 2, 0]
