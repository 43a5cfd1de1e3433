"""Every decision can be made again from its record, and whatever was changed since is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select, update

from common.courier import tables as courier_tables
from common.delivery import claim, decisions, ledger, stops, tables, vault
from common.delivery.replay import Document, replay_all
from common.kernel.channel import CHANNELS
from common.kernel.decision import from_bytes, to_bytes
from common.kernel.stop import stops_of
from common.kernel.task import TaskEvent, TaskReason, TaskState
from common.kernel.task_block import advance, open_block
from common.kernel.work_order import HQ_NODE, WorkOrder, WorkOrderState
from common.runtime.database import Database
from hq.store import coordination
from hq.store import tables as hq_tables
from hq.store.feed import HqOutlet

NOON = 1_800_000_000
PEOPLE = 12
DAY = 86_400
SMS = CHANNELS["sms"]
POLICIES = (
    "mode: shared\ncaps:\n  - {scope: all, contacts: 1, per: 1d}\n",
    "mode: shared\ncaps: [{scope: all, contacts: 3, per: 2d, province_share: 1}]\ncooling: 3d\ncapacities: {sms: 5}\n",
    "mode: shared\ncaps:\n  - {scope: channel_class, value: message, contacts: 2, per: 1h}\nafter_order: 1d\n",
)


@dataclass
class Clock:
    at: int = NOON

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return 0.0


class Node:
    """HQ alone: it decides what is issued, and sends what it issued."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.clock = Clock()
        self.outlet = HqOutlet(self.clock)
        self.orders = 0
        self.policies = 0
        keys = np.arange(1, PEOPLE + 1, dtype=np.int64)
        vault.put_subscribers(connection, keys, keys + 8_613_800_000_000, 45)

    def issue(self, people: set[int], priority: int = 1) -> None:
        self.orders += 1
        name = f"c{self.orders}/1/sms/hq"
        end_at = self.clock.at + 2 * DAY
        keys = np.array(sorted(people), dtype=np.int64)
        order = WorkOrder(name, f"c{self.orders}", 1, "sms", HQ_NODE, "offer", NOON, end_at, priority, len(keys),
                          WorkOrderState.ACCEPTED)  # fmt: skip
        ledger.put_work_order(self.connection, order)
        block = open_block(name, 0, keys, ("您好",), np.zeros(len(keys), dtype=np.uint32))
        for allowed in coordination.allow(self.connection, order, [block], self.clock.at):
            ledger.insert_block(self.connection, allowed)

    def claim(self, limit: int) -> None:
        for order in self.listed():
            claim.claim(self.connection, order, 0, self.clock.at, SMS, limit, self.outlet)

    def answer(self, event: TaskEvent) -> None:
        """What became of everything that was booked."""
        for order in self.listed():
            block = ledger.load_block(self.connection, order.name, 0)
            assert block is not None
            booked = np.flatnonzero(np.isin(block.states, (TaskState.SUBMITTING, TaskState.SUBMITTED)))
            ledger.save_block(self.connection, advance(block, booked, event, TaskReason.NONE, self.clock.at)[0])

    def stop(self, people: set[int]) -> None:
        keys = np.array(sorted(people), dtype=np.int64)
        times, lifted = np.full(len(keys), self.clock.at), np.zeros(len(keys), dtype=np.bool_)
        stops.put_stops(self.connection, stops_of(keys, times, lifted))

    def apply_policy(self, which: int) -> None:
        self.policies += 1
        row = {"version": self.policies, "document": POLICIES[which], "received_at": self.clock.at, "objection": ""}
        self.connection.execute(insert(tables.policy), row)

    def cancel(self) -> None:
        for order in self.listed():
            ledger.set_state(self.connection, order.name, WorkOrderState.CANCELLED)

    def wait(self, seconds: int) -> None:
        self.clock.at += seconds

    def listed(self) -> list[WorkOrder]:
        return ledger.work_orders(self.connection)

    def replay(self) -> Document:
        return replay_all(self.connection, HQ_NODE, self.listed(), at_issue=True)


class _UndoError(Exception):
    pass


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('replay') / 'hq.db'}")
    database.create(courier_tables.metadata, tables.metadata, hq_tables.metadata)
    yield database
    database.close()


@pytest.fixture(scope="module")
def undone(store: Database) -> Callable[[Callable[[Node], None]], None]:
    """Runs a story at a fresh node and leaves no trace of it."""

    def run(story: Callable[[Node], None]) -> None:
        try:
            with store.transaction() as connection:
                story(Node(connection))
                raise _UndoError
        except _UndoError:
            pass

    return run


PEOPLE_SETS = st.sets(st.integers(1, PEOPLE), min_size=1)
STEPS = st.one_of(
    st.tuples(st.just("issue"), PEOPLE_SETS, st.integers(0, 2)),
    st.tuples(st.just("claim"), st.integers(1, PEOPLE)),
    st.tuples(st.just("answer"), st.sampled_from([TaskEvent.ACCEPT, TaskEvent.RETURN, TaskEvent.DELIVER, TaskEvent.LOSE,
                                                  TaskEvent.REFUSE])),
    st.tuples(st.just("stop"), PEOPLE_SETS),
    st.tuples(st.just("apply_policy"), st.integers(0, len(POLICIES) - 1)),
    st.tuples(st.just("wait"), st.sampled_from([1, 600, DAY // 2, DAY])),
    st.tuples(st.just("cancel")),
)  # fmt: skip
Undone = Callable[[Callable[[Node], None]], None]


@given(steps=st.lists(STEPS, min_size=2, max_size=14))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happened_replays_exactly(undone: Undone, steps: list[tuple[Any, ...]]) -> None:
    def story(node: Node) -> None:
        for name, *arguments in steps:
            getattr(node, name)(*arguments)
        assert node.replay()["differences"] == 0, node.replay()["first"]

    undone(story)


def some_history(node: Node) -> None:
    node.apply_policy(1)
    node.stop({3, 4})
    node.issue({1, 2, 3, 5, 6, 7})
    node.claim(4)
    node.answer(TaskEvent.DELIVER)
    node.issue({1, 2, 4, 9})
    node.issue({1, 5, 10})
    node.claim(PEOPLE)


def test_counts_say_what_was_replayed(undone: Undone) -> None:
    def story(node: Node) -> None:
        some_history(node)
        told = node.replay()
        assert told["work_orders"] == told["blocks"] == 3
        assert told["decisions"] == 7
        assert (told["suppressed"], told["allowed"]) == (_count(node, TaskState.SUPPRESSED), 13 - _count(node, 5))

    undone(story)


def _count(node: Node, state: int) -> int:
    return sum(ledger.counts(node.connection, order.name)[TaskState(state)] for order in node.listed())


RECORDS = select(tables.decision).order_by(*tables.decision.primary_key)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_one_flipped_bit_of_a_record_is_found(undone: Undone, draw: st.DataObject) -> None:
    def story(node: Node) -> None:
        some_history(node)
        rows = node.connection.execute(RECORDS).all()
        row = draw.draw(st.sampled_from(rows))
        column = draw.draw(st.sampled_from(["facts", "digest", "decided_at", "policy_version", "rivals"]))
        flipped = _flipped(draw, getattr(row, column))
        if column == "facts" and _same(flipped, row.facts):
            return
        here = [tables.decision.c[name] == getattr(row, name) for name in ("work_order", "number", "stage", "run")]
        node.connection.execute(update(tables.decision).where(*here).values({column: flipped}))
        told = node.replay()
        assert told["differences"] > 0
        assert told["first"][0]["work_order"] == row.work_order

    undone(story)


def _same(record: bytes, other: bytes) -> bool:
    """A packed record has a few bits of padding, which say nothing."""
    try:
        return to_bytes(*from_bytes(record)) == to_bytes(*from_bytes(other))
    except ValueError:
        return False


def _flipped(draw: st.DataObject, value: Any) -> Any:
    if isinstance(value, int):
        return value ^ (1 << draw.draw(st.integers(0, 20)))
    if isinstance(value, str):
        return value.replace("[", '["another",' if value != "[]" else '["another"')
    place, bit = draw.draw(st.integers(0, len(value) - 1)), draw.draw(st.integers(0, 7))
    return value[:place] + bytes([value[place] ^ (1 << bit)]) + value[place + 1 :]


def test_a_fact_rewritten_cleanly_is_found_though_nothing_else_would_change(undone: Undone) -> None:
    def story(node: Node) -> None:
        some_history(node)
        row = next(r for r in node.connection.execute(RECORDS) if "spent.0" in from_bytes(r.facts)[1])
        rows, facts = from_bytes(row.facts)
        facts["spent.0"] = replace(facts["spent.0"], values=facts["spent.0"].values + 1)
        here = [tables.decision.c[name] == getattr(row, name) for name in ("work_order", "number", "stage", "run")]
        node.connection.execute(update(tables.decision).where(*here).values(facts=to_bytes(rows, facts)))
        assert [each["broken"] for each in node.replay()["first"]] == ["record_changed"]

    undone(story)


def test_a_changed_policy_is_found(undone: Undone) -> None:
    def story(node: Node) -> None:
        some_history(node)
        changed = POLICIES[1].replace("cooling: 3d", "cooling: 4d")
        node.connection.execute(update(tables.policy).values(document=changed))
        assert {each["broken"] for each in node.replay()["first"]} == {"record_changed"}
        node.connection.execute(tables.policy.delete())
        assert {each["broken"] for each in node.replay()["first"]} == {"policy_missing"}

    undone(story)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_a_ledger_that_is_not_what_was_decided_is_found(undone: Undone, draw: st.DataObject) -> None:
    """Another reason, another moment, another state of somebody suppressed; or somebody allowed is suppressed."""

    def story(node: Node) -> None:
        some_history(node)
        block = ledger.load_block(node.connection, "c2/1/sms/hq", 0)
        assert block is not None
        row = draw.draw(st.integers(0, len(block) - 1))
        suppressed = bool(block.states[row] == TaskState.SUPPRESSED)
        column = draw.draw(st.sampled_from(["states", "reasons", "settled_at"] if suppressed else ["states"]))
        changed = {name: getattr(block, name).copy() for name in ("states", "reasons", "settled_at")}
        changed[column][row] = (TaskState.OPEN if suppressed else TaskState.SUPPRESSED) if column == "states" else 2
        if not suppressed:
            changed["reasons"][row] = draw.draw(st.sampled_from([TaskReason.STOPPED, TaskReason.CONTACT_CAP]))
        ledger.save_block(node.connection, replace(block, **changed))
        told = node.replay()
        assert [(each["task"], each["broken"]) for each in told["first"]] == [
            (row, "not_suppressed" if suppressed else "suppressed")
        ]

    undone(story)


def test_a_contact_nobody_decided_is_found(undone: Undone) -> None:
    def story(node: Node) -> None:
        some_history(node)
        node.connection.execute(tables.decision.delete())
        assert "undecided" in {each["broken"] for each in node.replay()["first"]}
        node.connection.execute(insert(tables.incarnation), {"number": 2, "mark": 0, "fenced_at": NOON})
        assert node.replay()["differences"] == 0, "a node that was restored has lost some"

    undone(story)


def test_what_has_not_come_back_from_a_province_is_awaited(undone: Undone) -> None:
    """Its decision comes before what followed from it."""

    def story(node: Node) -> None:
        node.stop({2})
        node.issue({1, 2})
        node.claim(5)
        block = ledger.load_block(node.connection, "c1/1/sms/hq", 0)
        assert block is not None
        early = open_block(block.work_order, 0, block.keys, block.texts, block.text_refs)
        ledger.save_block(node.connection, early)
        assert replay_all(node.connection, HQ_NODE, node.listed(), at_issue=True)["differences"] == 1
        elsewhere = [replace(order, node="45") for order in node.listed()]
        told = replay_all(node.connection, HQ_NODE, elsewhere, at_issue=True)
        assert (told["differences"], told["awaited"]) == (0, 1)

    undone(story)


def test_of_whom_a_claim_could_not_book_yet_nothing_is_kept(undone: Undone) -> None:
    """So a slow channel, whose blocks are claimed a few at a time, keeps each person once."""

    def story(node: Node) -> None:
        node.stop({9, 12})
        node.issue(set(range(1, PEOPLE + 1)))
        for _ in range(5):
            node.claim(2)
            node.wait(60)
        claims = [d for d in decisions.of_block(node.connection, "c1/1/sms/hq", 0) if d.stage == "claim"]
        assert [d.rows.tolist() for d in claims] == [[0, 1, 8, 11], [2, 3], [4, 5], [6, 7], [9, 10]]
        assert node.replay()["differences"] == 0

    undone(story)
