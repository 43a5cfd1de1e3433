"""What a claim looks at: every scope of stop, consents, orders of anything, erasures; and nothing nobody asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, event

from common.delivery import consents, facts, forgetting, ledger, policies, stops
from common.delivery.claim import claim
from common.delivery.orders import put_orders
from common.kernel.channel import CHANNELS, Channel
from common.kernel.consent import Consents
from common.kernel.erasure import erasures_of
from common.kernel.order import OrderChange, OrderRecords
from common.kernel.policy import DEFAULT, Policy
from common.kernel.stop import StopScope, stops_of
from common.kernel.task import TaskReason
from common.runtime.database import Database

NOON = 1_800_000_000
DAY = 86_400
POLICY = replace(DEFAULT, cooling_seconds=7 * DAY, after_order_seconds=3 * DAY)


def stop(connection: Connection, key: int, scope: StopScope, at: int, *, lifted: bool = False) -> None:
    stops.put_stops(connection, stops_of(np.array([key]), np.array([at]), np.array([lifted]), scope))


def agree(connection: Connection, key: int, purpose: str, until: int, *, withdrawn: bool = False) -> None:
    times = (np.array([NOON - 99], dtype=np.uint32), np.array([until], dtype=np.uint32))
    consents.put_consents(connection, Consents(np.array([key]), [purpose], ["form"], *times, np.array([withdrawn])))


def order(connection: Connection, key: int, at: int) -> None:
    records = OrderRecords(
        ["bss"], [str(key)], np.array([1]), np.array([key]), ["another"], np.array([OrderChange.SUBSCRIBED], np.uint8),
        np.array([0]), np.array([at], dtype=np.uint32),
    )  # fmt: skip
    put_orders(connection, records, NOON)


@pytest.fixture
def reasons(monkeypatch: pytest.MonkeyPatch, people: Any, issue: Any, memo: Any, channel: Channel) -> Any:
    """Why each person of a work order was suppressed, under a policy; claimed once."""

    def found(connection: Connection, policy: Policy, **changed: Any) -> list[TaskReason]:
        monkeypatch.setattr(policies, "in_force", lambda _: policy)
        made = issue(connection, people(8), name=changed.pop("name", "c/1/sms/hq"), numbered=False, **changed)
        claim(connection, made, 0, NOON, channel, 10, memo)
        block = ledger.load_block(connection, made.name, 0)
        assert block is not None
        return [TaskReason(code) for code in block.reasons.tolist()]

    return found


@pytest.fixture
def keys(people: Any) -> list[int]:
    return [int(key) for key in people(8).keys]


@pytest.fixture
def connection(database: Database, people: Any) -> Any:
    from common.delivery import vault

    with database.transaction() as connection:
        vault.put_subscribers(connection, people(8).keys, people(8).msisdns, 45)
        yield connection


def test_each_scope_of_a_stop_forbids_what_it_says(connection: Connection, keys: list[int], reasons: Any) -> None:
    stop(connection, keys[0], StopScope.ALL, 5)
    stop(connection, keys[1], StopScope.MESSAGE, 5)
    stop(connection, keys[2], StopScope.CALL, 5)
    stop(connection, keys[3], StopScope.BLACKLIST, 5)
    stop(connection, keys[4], StopScope.REFUSED, NOON - 7 * DAY + 1)
    stop(connection, keys[5], StopScope.REFUSED, NOON - 7 * DAY)
    stop(connection, keys[6], StopScope.ALL, 5)
    stop(connection, keys[6], StopScope.ALL, 6, lifted=True)
    forgetting.take(connection, erasures_of(np.array(keys[7:]), np.array([9])))
    stopped, black, cooling = TaskReason.STOPPED, TaskReason.BLACKLISTED, TaskReason.COOLING
    none, erased = TaskReason.NONE, TaskReason.ERASED
    assert reasons(connection, POLICY) == [stopped, stopped, none, black, cooling, none, none, erased]
    service = [none, none, none, black, none, none, none, erased]
    assert reasons(connection, POLICY, name="notice/1/sms/hq", service=True) == service


def test_marketing_rests_after_an_order_of_anything(connection: Connection, keys: list[int], reasons: Any) -> None:
    order(connection, keys[0], NOON - 3 * DAY)
    order(connection, keys[1], NOON - 3 * DAY + 1)
    rests = [TaskReason.NONE, TaskReason.COOLING, *[TaskReason.NONE] * 6]
    assert reasons(connection, POLICY) == rests
    assert set(reasons(connection, DEFAULT, name="b/1/sms/hq")) == {TaskReason.NONE}
    assert set(reasons(connection, POLICY, name="c2/1/sms/hq", service=True)) == {TaskReason.NONE}


def test_a_purpose_contacts_only_whose_consent_stands_at_that_moment(
    connection: Connection, keys: list[int], reasons: Any
) -> None:
    agree(connection, keys[0], "location", NOON + 1)
    agree(connection, keys[1], "location", NOON)
    agree(connection, keys[2], "location", NOON + 99, withdrawn=True)
    agree(connection, keys[3], "message", NOON + 99)
    none, without = TaskReason.NONE, TaskReason.NO_CONSENT
    assert reasons(connection, DEFAULT, purpose="location") == [none, *[without] * 7]
    by_class = replace(DEFAULT, consent_classes=("message",))
    assert reasons(connection, by_class, name="b/1/sms/hq") == [*[without] * 3, none, *[without] * 4]
    agree(connection, keys[0], "message", NOON + 99)
    assert reasons(connection, by_class, name="d/1/sms/hq", purpose="location") == [none, *[without] * 7]
    other_class = replace(DEFAULT, consent_classes=("call",))
    assert set(reasons(connection, other_class, name="e/1/sms/hq")) == {none}


def test_a_fact_costs_a_statement_only_where_it_is_asked_for(
    connection: Connection, keys: list[int], people: Any, issue: Any
) -> None:
    said: list[str] = []
    made = issue(connection, people(8), numbered=False)

    def statements(policy: Policy, **changed: Any) -> int:
        said.clear()
        facts.at_claim(connection, replace(made, **changed), people(8).keys, policy, NOON)
        return len(said)

    event.listen(connection, "before_cursor_execute", lambda *told: said.append(told[2]))
    least = statements(DEFAULT, service=True)
    assert statements(DEFAULT) == least + 1
    assert statements(POLICY) == least + 2
    assert statements(POLICY, purpose="location") == least + 3
    assert statements(replace(POLICY, consent_classes=("message",)), purpose="location") == least + 4
    assert statements(replace(POLICY, consent_classes=("message",)), purpose="location", service=True) == least
    assert CHANNELS["sms"].channel_class == "message"
