"""HQ hears the decisions of provinces, so that it can explain and replay while they are away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from liandong.federation.v1 import uplink_pb2
from sqlalchemy import Connection

from common.courier import log
from common.courier import tables as courier_tables
from common.delivery import claim, decisions, ledger, settle, stops, tables, vault
from common.delivery.replay import replay_all
from common.kernel.channel import CHANNELS
from common.kernel.refusal import Refusal
from common.kernel.stop import stops_of
from common.kernel.task import TaskEvent, TaskReason
from common.kernel.task_block import advance, open_block
from common.kernel.work_order import HQ_NODE, WorkOrder, WorkOrderState
from common.runtime.database import Database
from common.wire import codec
from hq.store import coordination, provinces, uplink
from hq.store import tables as hq_tables
from province.store import tables as province_tables
from province.uplink import HqOutlet, append_everything

NOON = 1_800_000_000
KEYS = np.arange(1, 11, dtype=np.int64)
ORDER = WorkOrder("spring/1/local_sms/45", "spring", 1, "local_sms", "45", "data", NOON, NOON + 86_400, 5, 10)


class Clock:
    def now(self) -> int:
        return NOON

    def monotonic(self) -> float:
        return 0.0


def begin(connection: Connection, state: WorkOrderState) -> None:
    vault.put_subscribers(connection, KEYS, KEYS + 8_613_800_000_000, 45)
    ledger.put_work_order(connection, replace(ORDER, state=state))


@pytest.fixture
def hq(tmp_path: Path) -> Iterator[Database]:
    store = Database(f"sqlite:///{tmp_path / 'hq.db'}")
    store.create(courier_tables.metadata, tables.metadata, hq_tables.metadata)
    with store.transaction() as connection:
        provinces.enroll(connection, "45", 1)
        begin(connection, WorkOrderState.ISSUED)
        block = open_block(ORDER.name, 0, KEYS, ("您好",), np.zeros(10, dtype=np.uint32))
        for allowed in coordination.allow(connection, ORDER, [block], NOON):
            ledger.insert_block(connection, allowed)
    yield store
    store.close()


@pytest.fixture
def province(tmp_path: Path) -> Iterator[Database]:
    """It has been told the work order, knows of three stops, and has sent to the others."""
    store = Database(f"sqlite:///{tmp_path / '45.db'}")
    store.create(courier_tables.metadata, tables.metadata, province_tables.metadata)
    outlet = HqOutlet(Clock())
    with store.transaction() as connection:
        begin(connection, WorkOrderState.ACCEPTED)
        ledger.insert_block(connection, open_block(ORDER.name, 0, KEYS, ("您好",), np.zeros(10, dtype=np.uint32)))
        times, lifted = np.full(3, NOON, dtype=np.uint32), np.zeros(3, dtype=np.bool_)
        stops.put_stops(connection, stops_of(KEYS[:3], times, lifted))
        claimed = claim.claim(connection, ORDER, 0, NOON, CHANNELS["local_sms"], 100, outlet)
        block, _ = advance(claimed.block, claimed.rows, TaskEvent.ACCEPT, TaskReason.NONE, NOON)
        block, rows = advance(block, claimed.rows, TaskEvent.DELIVER, TaskReason.NONE, NOON + 9)
        settle.save(connection, block, rows, outlet)
    yield store
    store.close()


def outbox(province: Database) -> list[Any]:
    with province.snapshot() as connection:
        entries = log.read_after(connection, "hq", "results", 0, 1_000, 1 << 30)
    return [codec.read_outbox_entry(uplink_pb2.OutboxEntry.FromString(each.payload), "45") for each in entries]


def told(hq: Database, values: list[Any]) -> dict[str, Any]:
    with hq.transaction() as connection:
        uplink.apply(connection, "45", values, NOON)
        return replay_all(connection, HQ_NODE, ledger.work_orders(connection), at_issue=True)


def test_hq_replays_what_a_province_decided(hq: Database, province: Database) -> None:
    found = told(hq, outbox(province))
    assert (found["decisions"], found["suppressed"], found["allowed"]) == (2, 3, 7)
    assert (found["differences"], found["awaited"]) == (0, 0)
    with province.snapshot() as connection:
        own = replay_all(connection, "45", ledger.work_orders(connection), at_issue=False)
    assert (own["decisions"], own["differences"]) == (1, 0)


def test_a_decision_comes_before_what_followed_from_it(hq: Database, province: Database) -> None:
    """So at no moment does HQ know of an end that nothing explains."""
    values = outbox(province)
    for count in range(len(values) + 1):
        found = told(hq, values[:count])
        assert found["differences"] == 0, values[:count]
    assert found["awaited"] == 0


def test_an_end_without_its_decision_is_found(hq: Database, province: Database) -> None:
    found = told(hq, [value for value in outbox(province) if not hasattr(value, "stage")])
    assert {each["broken"] for each in found["first"]} == {"suppressed", "undecided"}


def test_telling_everything_again_changes_nothing(hq: Database, province: Database) -> None:
    told(hq, outbox(province))
    before = everything(hq)
    with province.transaction() as connection:
        append_everything(connection, "results", NOON)
    assert len(outbox(province)) > 3
    told(hq, outbox(province))
    assert everything(hq) == before


def everything(hq: Database) -> list[Any]:
    with hq.snapshot() as connection:
        return [connection.execute(table.select()).all() for table in (tables.decision, tables.task_block)]


def test_nobody_decides_for_another(hq: Database, province: Database) -> None:
    made = next(value for value in outbox(province) if hasattr(value, "stage"))
    with hq.transaction() as connection:
        provinces.enroll(connection, "13", 1)
    for value, who in ((made, "13"), (replace(made, stage="issue", run=2), "45"), (replace(made, stage="local"), "45")):
        with pytest.raises(Refusal) as refused, hq.transaction() as connection:
            uplink.apply(connection, who, [value], NOON)
        assert refused.value.reason == "NOT_YOURS"
    with hq.snapshot() as connection:
        assert [d.stage for d in decisions.of_block(connection, ORDER.name, 0)] == ["issue"]
