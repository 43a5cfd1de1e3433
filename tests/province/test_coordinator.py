"""The coordinator decides what waits, never twice, and asks HQ until it has an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from common.delivery import ledger
from common.kernel.columns import Codes
from common.kernel.grant import GrantRequest
from common.kernel.refusal import Fault, Refusal
from common.kernel.task import TaskEvent, TaskReason, TaskState
from common.kernel.task_block import advance
from common.runtime import failpoint
from common.runtime.database import Database
from common.runtime.failpoint import FailpointError
from province.coordinator import BOOKS_SECONDS, Coordinator
from province.local_request import LocalRequest, Outcome
from province.store import local_requests
from province.uplink import HqOutlet

RequestFor = Callable[..., LocalRequest]


@dataclass
class Hq:
    """Answers what it is told to, and remembers what it was asked."""

    answer: Codes | Refusal | None = None
    asked: list[GrantRequest] = field(default_factory=list)

    async def ask(self, request: GrantRequest) -> Codes | None:
        self.asked.append(request)
        if isinstance(self.answer, Refusal):
            raise self.answer
        return self.answer


@dataclass
class Node:
    store: Database
    hq: Hq
    coordinator: Coordinator
    woken: list[int]

    def ask(self, *requests: LocalRequest) -> None:
        with self.store.transaction() as connection:
            for request in requests:
                local_requests.put(connection, request)

    def turn(self) -> None:
        asyncio.run(self.coordinator.turn())

    def outcome(self, name: str) -> Outcome | None:
        with self.store.snapshot() as connection:
            return local_requests.outcome(connection, name)

    def open_tasks(self) -> int:
        with self.store.snapshot() as connection:
            orders = ledger.work_orders(connection)
            return sum(ledger.counts(connection, order.name)[TaskState.OPEN] for order in orders)


@pytest.fixture
def node(province: Database, outlet: HqOutlet, clock) -> Node:  # type: ignore[no-untyped-def]
    hq, woken = Hq(), []
    coordinator = Coordinator(province, clock, "45", outlet, lambda: woken.append(1), hq.ask)
    return Node(province, hq, coordinator, woken)


def test_what_waits_is_decided_and_the_node_is_woken(node: Node, request_for: RequestFor) -> None:
    node.turn()
    assert node.woken == []
    node.ask(request_for("a", [3]), request_for("b", [3]))
    node.turn()
    assert node.outcome("a") == Outcome("local/a/1/local_sms/45", 1, {})
    assert node.outcome("b") == Outcome("local/b/1/local_sms/45", 0, {"outranked": 1})
    assert node.woken == [1]


@pytest.mark.parametrize(("moment", "admitted"), [("before", 0), ("after", 1)])
def test_a_node_that_dies_around_the_commit_spends_each_contact_once(
    node: Node, request_for: RequestFor, monkeypatch: pytest.MonkeyPatch, moment: str, admitted: int
) -> None:
    node.ask(request_for("earlier", [8]))
    node.turn()
    node.ask(request_for("a", [3]))
    failpoint.arm({"LIANDONG_TESTING": "1", "LIANDONG_FAILPOINT": f"admission.admit.{moment}_commit:1:raise"})
    with pytest.raises(FailpointError):
        node.turn()
    assert node.open_tasks() == 1 + admitted
    node.ask(request_for("b", [3]))
    node.turn()
    assert node.open_tasks() == 2


def test_nothing_is_spent_while_the_node_may_not(
    province: Database,
    outlet: HqOutlet,
    clock,
    request_for: RequestFor,  # type: ignore[no-untyped-def]
) -> None:
    closed = [1]
    coordinator = Coordinator(province, clock, "45", outlet, lambda: None, Hq().ask, lambda: not closed)
    node = Node(province, Hq(), coordinator, [])
    node.ask(request_for("a", [3]))
    node.turn()
    assert node.outcome("a") is None
    closed.clear()
    node.turn()
    assert node.open_tasks() == 1


def test_a_new_policy_is_taken_up(node: Node, request_for: RequestFor, install: Callable[..., None]) -> None:
    node.ask(request_for("a", [3]))
    node.turn()
    with node.store.transaction() as connection:
        install(connection, 1, "scope: all, contacts: 2, per: 1d, province_share: 2")
    node.ask(request_for("b", [3]))
    for _ in range(2):  # the first finds its books closed
        node.turn()
    assert node.open_tasks() == 2


def test_a_contact_that_was_never_made_can_be_spent_again(
    node: Node,
    request_for: RequestFor,
    clock,  # type: ignore[no-untyped-def]
) -> None:
    node.ask(request_for("a", [3], end_at=clock.now() + 60))
    node.turn()
    with node.store.transaction() as connection:
        name = "local/a/1/local_sms/45"
        block = ledger.load_block(connection, name, 0)
        assert block is not None
        block, _ = advance(block, np.array([0]), TaskEvent.SUPPRESS, TaskReason.STOPPED, clock.now())
        ledger.save_block(connection, block)
    for name, waited, granted in (("b", BOOKS_SECONDS - 1, 0), ("c", 1, 1)):
        clock.time += waited
        node.ask(request_for(name, [3], end_at=clock.now() + 60))
        node.turn()
        reached = node.outcome(name)
        assert reached is not None
        assert reached.granted == granted


def test_hq_is_asked_until_it_answers(node: Node, request_for: RequestFor) -> None:
    node.ask(request_for("a", [3]), request_for("b", [3, 5], ask_hq=True, priority=1))
    for answer in (None, Refusal(Fault.BUSY, "THROTTLED", "later"), np.array([TaskReason.NONE], dtype=np.uint8)):
        node.hq.answer = answer
        reached = node.outcome("b")
        assert reached is None or reached.unanswered == (0,)
        node.turn()
    assert len({repr(asked) for asked in node.hq.asked}) == 1
    node.turn()
    assert len(node.hq.asked) == 3
    assert node.outcome("b") == Outcome("local/b/1/local_sms/45", 1, {"outranked": 1}, granted_by_hq=1)


def test_what_hq_will_never_grant_is_told(node: Node, request_for: RequestFor) -> None:
    node.hq.answer = Refusal(Fault.HELD, "REQUEST_MISMATCH", "made before with another content")
    node.ask(request_for("a", [3]), request_for("b", [3], ask_hq=True, priority=1))
    node.turn()
    reached = node.outcome("b")
    assert reached is not None
    assert (reached.unanswered, reached.refusals) == ((), ("made before with another content",))


def test_an_hq_that_is_away_is_not_waited_for_past_the_validity(
    node: Node,
    request_for: RequestFor,
    clock,  # type: ignore[no-untyped-def]
) -> None:
    node.ask(request_for("a", [3]), request_for("b", [3], ask_hq=True, priority=1, end_at=clock.now() + 60))
    node.turn()
    clock.time += 60
    node.turn()
    reached = node.outcome("b")
    assert reached is not None
    assert reached.unanswered == ()
    assert "no answer" in reached.refusals[0]
