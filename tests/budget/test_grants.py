"""Contacts asked of HQ: spent there, issued like any work order, and answered alike however often asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Connection, func, select

from common.courier.tables import log_entry
from common.delivery import ledger, vault
from common.delivery.tables import task_block
from common.kernel.grant import GrantRequest
from common.kernel.refusal import Refusal
from common.kernel.task import TaskReason, TaskState
from common.kernel.task_block import open_block
from common.runtime.database import Database
from hq.store import grants, provinces

NOW = 1_800_000_000
HERE, AWAY = np.array([5, 6, 7], dtype=np.int64), np.array([8], dtype=np.int64)
KEYS = np.concatenate([HERE, AWAY])


def asked(request_id: str = "r1", **changed: object) -> GrantRequest:
    tasks = open_block("any", 0, KEYS, ("您好",), np.zeros(len(KEYS), dtype=np.uint32))
    request = GrantRequest(request_id, "local_sms", "o", "", "", NOW, NOW + 3600, 50, tasks)
    return replace(request, **changed)  # type: ignore[arg-type]


@pytest.fixture
def connection(database: Database):  # type: ignore[no-untyped-def]
    with database.transaction() as connection:
        for code in ("44", "45"):
            provinces.enroll(connection, code, NOW)
        vault.put_subscribers(connection, KEYS, KEYS + 8_613_800_000_000, np.array([45, 45, 45, 44]))
        yield connection


def counted(connection: Connection) -> tuple[int, int]:
    blocks = connection.execute(select(func.count()).select_from(task_block)).scalar_one()
    return blocks, connection.execute(select(func.count()).select_from(log_entry)).scalar_one()


def test_what_is_granted_is_spent_and_issued_to_who_asked(connection: Connection) -> None:
    name, reasons = grants.acquire(connection, "45", asked(), NOW)
    assert reasons.tolist() == [0, 0, 0, TaskReason.NO_NUMBER]
    order = ledger.load_work_order(connection, name)
    assert order is not None
    assert (order.node, order.leased, order.name) == ("45", True, "grant/r1/1/local_sms/45")
    assert connection.execute(select(log_entry.c.peer).distinct()).scalars().all() == ["45"]
    # HQ's one contact a day is spent for each of them.
    name, reasons = grants.acquire(connection, "45", asked("r2"), NOW)
    assert (name, reasons.tolist()) == ("", [TaskReason.CONTACT_CAP] * 3 + [TaskReason.NO_NUMBER])


def test_a_request_repeated_spends_nothing_and_is_answered_alike(connection: Connection) -> None:
    first = grants.acquire(connection, "45", asked(), NOW)
    before = counted(connection)
    again = grants.acquire(connection, "45", asked(), NOW + 100)
    assert (first[0], first[1].tolist()) == (again[0], again[1].tolist())
    assert counted(connection) == before


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"offer": "another"}, "REQUEST_MISMATCH"),
        ({"priority": 51}, "REQUEST_MISMATCH"),
        ({"request_id": "r3", "channel": "sms"}, "ARGUMENT_INVALID"),
        ({"request_id": "r3", "channel": "no such"}, "ARGUMENT_INVALID"),
        ({"request_id": "r3", "end_at": NOW}, "ARGUMENT_INVALID"),
        ({"request_id": "r3", "end_at": NOW + grants.LEASE_SECONDS_MAX + 1}, "ARGUMENT_INVALID"),
    ],
)
def test_a_wrong_request_is_refused_and_changes_nothing(
    connection: Connection, changed: dict[str, object], reason: str
) -> None:
    grants.acquire(connection, "45", asked(), NOW)
    before = counted(connection)
    with pytest.raises(Refusal) as refused:
        grants.acquire(connection, "45", asked(**changed), NOW)
    assert refused.value.reason == reason
    assert counted(connection) == before


def test_a_stranger_and_a_neighbour_are_answered_alike(connection: Connection) -> None:
    keys = np.array([3, 8], dtype=np.int64)  # nobody, and somebody of province 44
    tasks = open_block("any", 0, keys, ("x",), np.zeros(2, dtype=np.uint32))
    name, reasons = grants.acquire(connection, "45", asked("r9", tasks=tasks), NOW)
    assert (name, reasons.tolist()) == ("", [TaskReason.NO_NUMBER] * 2)
    assert not connection.execute(select(task_block.c.number)).all()


def test_one_province_cannot_use_up_anothers_request_ids(connection: Connection) -> None:
    grants.acquire(connection, "45", asked(), NOW)
    tasks = open_block("any", 0, AWAY, ("x",), np.zeros(1, dtype=np.uint32))
    name, reasons = grants.acquire(connection, "44", asked(tasks=tasks), NOW)
    assert (name, reasons.tolist()) == ("grant/r1/1/local_sms/44", [0])
    assert ledger.counts(connection, name)[TaskState.OPEN] == 1
