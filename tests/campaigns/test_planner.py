from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from liandong.federation.v1 import feed_pb2
from sqlalchemy import insert, select

import hq.work_orders
from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from common.courier import log
from common.courier.bell import Bell
from common.courier.tables import log_entry
from common.delivery import ledger
from common.delivery.orders import put_orders
from common.delivery.tables import task_block
from common.kernel.keyed_hash import salt, uniform
from common.kernel.order import OrderRecords
from common.kernel.task import Response, TaskEvent, TaskReason, TaskState
from common.kernel.task_block import TaskBlock, advance, respond
from common.kernel.work_order import WorkOrder, WorkOrderCommand, WorkOrderState
from common.rules.rule_language import everyone
from common.runtime.database import Database
from common.wire import codec
from hq import planner as planner_module
from hq.audience import Audience
from hq.campaign_file import load
from hq.campaigns import CampaignState, Step
from hq.planner import RETRY_SECONDS, SELECTIONS, Planner
from hq.selection import Selection
from hq.store import campaigns, work_orders
from hq.store.campaigns import WaveState
from hq.store.tables import province, wave
from hq.work_orders import planned

PEOPLE = 3_000
START, DAY = 1_772_326_800, 86_400
WAVE_TWO_AT = START + 92 * 3_600
OVER_AT = 1_773_579_600 + 7 * DAY

Approve = Callable[[Database, DuckDbWarehouse, str], Audience]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hq.work_orders, "BLOCK_ROWS", 200)
    monkeypatch.setattr(planner_module, "BLOCKS_A_TRANSACTION", 2)


@pytest.fixture
def warehouse(make_warehouse: Callable[[int], DuckDbWarehouse]) -> DuckDbWarehouse:
    return make_warehouse(PEOPLE)


@pytest.fixture
def running(database: Database, warehouse: DuckDbWarehouse, approve: Approve, file: str) -> Audience:
    """The campaign approved, two of three provinces enrolled."""
    with database.transaction() as connection:
        for code in ("45", "13"):
            connection.execute(insert(province).values(code=code, enrolled_at=1, build_version="1", seen_at=1))
    return approve(database, warehouse, file)


@pytest.fixture
def plan(
    database: Database, warehouse: DuckDbWarehouse, clock: Any, tmp_path: Path, running: Audience
) -> Callable[..., None]:
    """Lets a planner, as after a fresh start, do all that is due at `now`."""

    def tick(now: int, store: Database = database) -> None:
        clock.at = now
        asyncio.run(Planner(store, lambda: warehouse, clock, tmp_path, Bell()).tick())

    return tick


def blocks_of(database: Database) -> dict[str, list[TaskBlock]]:
    with database.snapshot() as connection:
        orders = ledger.work_orders(connection, campaign="spring")
        return {order.name: list(ledger.blocks(connection, order.name)) for order in orders}


def keys_of(database: Database, number: int) -> np.ndarray:
    found = [b.keys for name, cut in blocks_of(database).items() if f"/{number}/" in name for b in cut]
    return np.sort(np.concatenate([*found, np.zeros(0, dtype=np.int64)]))


def feed(database: Database, node: str, topic: str) -> list[codec.Incoming | None]:
    with database.snapshot() as connection:
        entries = log.read_after(connection, node, topic, 0, 1_000, 1 << 30)
    return [codec.read_feed_entry(feed_pb2.FeedEntry.FromString(entry.payload), node) for entry in entries]


def everything(database: Database) -> list[list[tuple[Any, ...]]]:
    """All that a cut leaves behind, without the times of log entries."""
    columns = [log_entry.c.peer, log_entry.c.stream, log_entry.c.sequence, log_entry.c.payload]
    tables = [
        select(task_block).order_by(task_block.c.work_order, task_block.c.number),
        select(*columns).order_by(*columns[:3]),
        select(wave.c.number, wave.c.state).order_by(wave.c.number),
    ]
    with database.snapshot() as connection:
        return [[tuple(row) for row in connection.execute(query)] for query in tables]


def states(database: Database) -> dict[str, WorkOrderState]:
    with database.snapshot() as connection:
        return {order.name: order.state for order in ledger.work_orders(connection, campaign="spring")}


def take(database: Database, step: Step) -> list[str]:
    with database.transaction() as connection:
        return work_orders.step(connection, "spring", step, 5)[1]


def test_a_wave_is_cut_when_it_is_due_and_reaches_everyone_who_is_not_held_out(
    database: Database, warehouse: DuckDbWarehouse, running: Audience, plan: Callable[..., None]
) -> None:
    plan(START - 1)
    assert blocks_of(database) == {}
    plan(START)
    people = [row for batch in warehouse.select(everyone()) for row in batch.to_pylist()]
    wanted = [p["subscriber_key"] for p in people if p["ordinal"] in running.contactable]
    assert keys_of(database, 1).tolist() == wanted
    drawn = uniform(keys_of(database, 1), salt(b"a key for tests, 32 bytes long ..", "holdout", "spring")) < 0.1
    assert not drawn.any()
    assert set(states(database)) == {
        "spring/1/app_push/hq",
        "spring/1/local_sms/13",
        "spring/1/local_sms/45",
        "spring/1/sms/hq",
    }


def test_a_province_gets_the_header_then_the_same_blocks_hq_keeps(
    database: Database, plan: Callable[..., None]
) -> None:
    plan(START)
    kept = blocks_of(database)
    for node in ("45", "13"):
        header, *sent = feed(database, node, "work_orders")
        assert isinstance(header, WorkOrder)
        assert header.task_count == sum(len(block) for block in kept[header.name])
        for ours, theirs in zip(kept[header.name], sent, strict=True):
            assert isinstance(theirs, TaskBlock)
            assert theirs.keys.tolist() == ours.keys.tolist()
            assert [theirs.texts[r] for r in theirs.text_refs] == [ours.texts[r] for r in ours.text_refs]
    assert feed(database, "11", "work_orders") == []
    assert {len(cut) > 1 for cut in kept.values()} == {True}


class PowerCutError(Exception):
    pass


class Failing(Database):
    """Loses power in its `fatal`-th write: before it commits, or just after."""

    fatal, committed, writes = 0, False, 0

    async def write(self, work: Callable[..., Any], *arguments: Any) -> Any:
        self.writes += 1

        def cut(connection: Any) -> None:
            work(connection, *arguments)
            raise PowerCutError

        if self.writes < self.fatal:
            return await super().write(work, *arguments)
        if self.writes == self.fatal and self.committed:
            await super().write(work, *arguments)
        elif self.writes == self.fatal:
            await super().write(cut)
        raise PowerCutError


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("committed", [False, True])
def test_a_crash_at_any_transaction_changes_nothing(
    database: Database, plan: Callable[..., None], committed: bool, tmp_path: Path
) -> None:
    database.close()
    before = tmp_path / "node.db"

    def cut(fatal: int) -> tuple[bool, list[list[tuple[Any, ...]]]]:
        """Whether the `fatal`-th write was reached, and all that was there after a fresh start had gone on."""
        path = tmp_path / f"crash-{fatal}.db"
        shutil.copy(before, path)
        failing = Failing(f"sqlite:///{path}")
        failing.fatal, failing.committed = fatal, committed
        plan(START, failing)
        failing.close()
        restarted = Database(f"sqlite:///{path}")
        plan(START, restarted)
        left = everything(restarted)
        restarted.close()
        return failing.writes >= fatal, left

    _, undisturbed = cut(1_000)
    crashes = 0
    while True:
        reached, left = cut(crashes + 1)
        assert left == undisturbed
        if not reached:
            break
        crashes += 1
    assert crashes > 8


def test_planning_again_changes_nothing(database: Database, plan: Callable[..., None]) -> None:
    plan(START)
    before = everything(database)
    plan(START + 60)
    assert everything(database) == before


def deliver(database: Database, now: int) -> tuple[set[int], set[int], set[int]]:
    """Wave one ends: by position, people are delivered and silent, delivered and interested, failed; some ordered."""
    silent: set[int] = set()
    interested: set[int] = set()
    owners: set[int] = set()
    with database.transaction() as connection:
        for order in ledger.work_orders(connection, campaign="spring"):
            for block in list(ledger.blocks(connection, order.name)):
                rows = np.arange(len(block))
                block, _ = advance(block, rows, TaskEvent.BOOK, TaskReason.NONE, now)
                block, _ = advance(block, rows[rows % 4 == 0], TaskEvent.UNDELIVERABLE, TaskReason.UNDELIVERABLE, now)
                block, _ = advance(block, rows[rows % 4 != 0], TaskEvent.DELIVER, TaskReason.NONE, now)
                yes = rows[rows % 4 == 1]
                block, _ = respond(block, yes, np.full(len(yes), Response.INTERESTED, dtype=np.uint8))
                ledger.save_block(connection, block)
                interested |= set(block.keys[yes].tolist())
                silent |= set(block.keys[rows % 4 >= 2].tolist())
                owners |= set(block.keys[rows % 8 == 3].tolist())
        put_orders(connection, orders_of(sorted(owners), now), now)
    return silent, interested, owners


def orders_of(keys: list[int], now: int) -> OrderRecords:
    rows = len(keys)
    return OrderRecords(
        source_systems=["cbss"] * rows,
        order_numbers=[str(key) for key in keys],
        revisions=np.ones(rows, dtype=np.int64),
        keys=np.array(keys, dtype=np.int64),
        offers=["data_30g"] * rows,
        changes=np.ones(rows, dtype=np.uint8),
        amounts_fen=np.full(rows, 3_000, dtype=np.int64),
        accepted_at=np.full(rows, now, dtype=np.uint32),
    )


def test_a_second_wave_takes_the_silent_and_counts_whom_it_cannot_reach(
    database: Database, warehouse: DuckDbWarehouse, plan: Callable[..., None]
) -> None:
    plan(START)
    silent, _, owners = deliver(database, START + 60)
    plan(WAVE_TWO_AT - 1)
    assert len(keys_of(database, 2)) == 0
    plan(WAVE_TWO_AT)
    people = {
        row["subscriber_key"]: row for batch in warehouse.select(everyone(), ["age"]) for row in batch.to_pylist()
    }
    chosen = silent - owners
    reached = {key for key in chosen if people[key]["age"] > 30 and people[key]["province"] in (45, 13)}
    assert set(keys_of(database, 2).tolist()) == reached
    with database.snapshot() as connection:
        second = campaigns.waves(connection, "spring")[1]
        counts = campaigns.wave_counts(connection, "spring")
    frozen = Selection.from_json(second.selection)
    assert (frozen.selected, frozen.unreachable) == (len(chosen), len(chosen) - len(reached))
    assert counts[2].issued == counts[2].states[TaskState.OPEN] == len(reached)
    assert counts[1].issued == len(keys_of(database, 1))


def test_a_paused_campaign_starts_no_wave_and_goes_on_where_it_was(
    database: Database, plan: Callable[..., None]
) -> None:
    take(database, Step.PAUSE)
    plan(START)
    assert blocks_of(database) == {}
    take(database, Step.RESUME)
    plan(START + 60)
    before = [block.keys.tolist() for cut in blocks_of(database).values() for block in cut]
    assert take(database, Step.PAUSE) == ["13", "45"]
    assert set(states(database).values()) == {WorkOrderState.PAUSED}
    assert take(database, Step.PAUSE) == []
    assert take(database, Step.RESUME) == ["13", "45"]
    assert set(states(database).values()) == {WorkOrderState.ACCEPTED}
    assert [block.keys.tolist() for cut in blocks_of(database).values() for block in cut] == before
    name = "spring/1/local_sms/45"
    assert feed(database, "45", "control") == [
        WorkOrderCommand(name, WorkOrderState.PAUSED, 2),
        WorkOrderCommand(name, WorkOrderState.ACCEPTED, 3),
    ]


def test_a_cancelled_campaign_cuts_no_more(database: Database, plan: Callable[..., None]) -> None:
    plan(START)
    deliver(database, START + 60)
    assert take(database, Step.CANCEL) == ["13", "45"]
    plan(WAVE_TWO_AT)
    assert len(keys_of(database, 2)) == 0
    assert set(states(database).values()) == {WorkOrderState.CANCELLED}


@pytest.mark.parametrize("step", [Step.PAUSE, Step.CANCEL])
def test_a_wave_whose_cutting_began_is_cut_to_its_end(
    database: Database, database_url: str, plan: Callable[..., None], step: Step
) -> None:
    failing = Failing(database_url)
    failing.fatal = 4
    plan(START, failing)
    failing.close()
    assert 0 < len(keys_of(database, 1)) < PEOPLE * 0.5
    take(database, step)
    plan(START + 60)
    with database.snapshot() as connection:
        first, second = campaigns.waves(connection, "spring")
        assert campaigns.active(connection) == []
    assert (first.state, second.state) == (WaveState.CUT, WaveState.PLANNED)
    assert len(keys_of(database, 1)) == Selection.from_json(first.selection).selected


def test_what_is_cut_after_a_rejection_ends_at_once(
    database: Database, database_url: str, plan: Callable[..., None]
) -> None:
    failing = Failing(database_url)
    failing.fatal, failing.committed = 2, True
    plan(START, failing)
    failing.close()
    name = "spring/1/local_sms/45"
    with database.transaction() as connection:
        ledger.set_state(connection, name, WorkOrderState.REJECTED)
    plan(START + 60)
    with database.snapshot() as connection:
        counts = ledger.counts(connection, name)
    assert counts[TaskState.SUPPRESSED] == sum(counts.values()) > 0
    assert len(feed(database, "45", "work_orders")) == 1


def test_a_selection_frozen_before_a_pause_waits(
    database: Database, database_url: str, plan: Callable[..., None]
) -> None:
    failing = Failing(database_url)
    failing.fatal, failing.committed = 1, True
    plan(START, failing)
    failing.close()
    take(database, Step.PAUSE)
    plan(START + 60)
    assert blocks_of(database) == {}
    take(database, Step.RESUME)
    plan(START + 120)
    assert len(keys_of(database, 1)) > 0


@pytest.mark.parametrize("step", [Step.PAUSE, Step.CANCEL])
def test_what_stopped_a_moment_ago_is_neither_selected_nor_cut(
    database: Database, running: Audience, file: str, step: Step
) -> None:
    take(database, step)
    orders = planned(load(file), 1, {("sms", "hq"): 5})
    with database.transaction() as connection:
        assert not work_orders.record_selection(connection, "spring", 1, "{}")
        assert not work_orders.begin_cut(connection, "spring", 1, orders, START)
        assert ledger.work_orders(connection) == []


def test_a_campaign_finishes_when_nothing_can_happen_any_more(database: Database, plan: Callable[..., None]) -> None:
    plan(START)
    deliver(database, START + 60)
    plan(WAVE_TWO_AT)

    def state() -> CampaignState:
        with database.snapshot() as connection:
            return campaigns.get(connection, "spring").state

    plan(OVER_AT)
    assert state() is CampaignState.APPROVED
    with database.transaction() as connection:
        for order in ledger.work_orders(connection, campaign="spring"):
            ledger.set_state(connection, order.name, WorkOrderState.COMPLETED)
    plan(OVER_AT - 1)
    assert state() is CampaignState.APPROVED
    plan(OVER_AT)
    assert state() is CampaignState.FINISHED


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_campaign_that_fails_holds_up_no_other_and_is_tried_again(
    database: Database,
    warehouse: DuckDbWarehouse,
    approve: Approve,
    running: Audience,
    file: str,
    clock: Any,
    tmp_path: Path,
) -> None:
    approve(database, warehouse, file.replace("spring", "later", 1))
    bitmap = next((tmp_path / "audiences" / "later").glob("*.roaring"))
    content = bitmap.read_bytes()
    bitmap.write_bytes(b"damaged")
    planning = Planner(database, lambda: warehouse, clock, tmp_path, Bell())
    clock.at = START
    asyncio.run(planning.tick())
    assert len(keys_of(database, 1)) > 0
    bitmap.write_bytes(content)

    def issued() -> int:
        asyncio.run(planning.tick())
        with database.snapshot() as connection:
            return len(ledger.work_orders(connection, campaign="later"))

    assert issued() == 0
    clock.elapsed = RETRY_SECONDS
    assert issued() == 4


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_lost_selection_stops_the_wave_and_is_taken_up_when_restored(
    database: Database, database_url: str, plan: Callable[..., None], tmp_path: Path
) -> None:
    failing = Failing(database_url)
    failing.fatal, failing.committed = 3, True
    plan(START, failing)
    failing.close()
    path = tmp_path / SELECTIONS / "spring.1.parquet"
    issued = len(keys_of(database, 1))
    path.rename(path.with_suffix(".lost"))
    plan(START + 60)
    assert len(keys_of(database, 1)) == issued
    path.with_suffix(".lost").rename(path)
    plan(START + 120)
    assert len(keys_of(database, 1)) > issued
