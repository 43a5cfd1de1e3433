"""A campaign that really runs at HQ: planned, cut, delivered by chance and ordered, on each kind of store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from adapters.warehouse.snapshots import Snapshots
from common.courier.bell import Bell
from common.delivery import ledger
from common.delivery.orders import put_orders
from common.kernel.order import OrderChange, OrderRecords
from common.kernel.task import CONTACTED, Response, TaskReason, TaskState
from common.rules.rule_language import check_rule
from common.runtime.database import Database
from hq.audience import HoldOut, build_audience, save_audience
from hq.campaign_file import check
from hq.planner import AUDIENCES, Planner
from hq.report import Document
from hq.store import campaigns
from hq.store.evaluation import report
from hq.store.provinces import enroll
from tests.campaigns.conftest import CATALOGUE, FEDERATION_KEY, FILE, START, SetClock, people

REASON = {
    TaskState.SUPPRESSED: TaskReason.CONTACT_CAP,
    TaskState.EXPIRED: TaskReason.VENDOR_EXPIRED,
    TaskState.FAILED: TaskReason.UNDELIVERABLE,
    TaskState.UNKNOWN: TaskReason.NO_ANSWER,
}
DAY = 86_400


class Campaign:
    """`count` people, about 90 % of them in the audience, a tenth of those held out."""

    def __init__(self, directory: Path, database: Database, count: int) -> None:
        snapshots = Snapshots(directory / "people")
        self.everybody = people(count)
        snapshots.publish(self.everybody.to_batches(), CATALOGUE)
        self._warehouse, self._database = DuckDbWarehouse.open(snapshots), database
        self.clock = SetClock(START - 3_600)
        self._planner = Planner(database, lambda: self._warehouse, self.clock, directory, Bell())
        self._chance = np.random.default_rng(5)
        self._approve(directory)

    def _approve(self, directory: Path) -> None:
        checked = check(FILE, CATALOGUE)
        holdout = HoldOut(checked.holdout, checked.name, FEDERATION_KEY)
        audience = build_audience(self._warehouse, check_rule(checked.audience, CATALOGUE), holdout)
        save_audience(directory / AUDIENCES, audience)
        with self._database.transaction() as connection:
            enroll(connection, "45", START)
            enroll(connection, "13", START)
            campaigns.apply(connection, checked, FILE, "li")
            campaigns.approve(connection, checked, 1, "chen", audience.manifest.to_json())

    def plan(self, at: int) -> None:
        """Let every wave due at `at` be cut."""
        self.clock.at = at
        asyncio.run(self._planner.tick())

    def deliver(self) -> None:
        """Bring open tasks to states drawn at random, most of them delivered."""
        states = np.array([*TaskState], dtype=np.uint8)
        with self._database.transaction() as connection:
            for order in ledger.work_orders(connection, campaign="spring"):
                for block in ledger.blocks(connection, order.name):
                    drawn = self._chance.choice(states, len(block), p=[0.02, 0.01, 0.03, 0.8, 0.05, 0.02, 0.04, 0.03])
                    reached = np.where(block.states == TaskState.OPEN, drawn, block.states)
                    sent = np.isin(reached, (*CONTACTED, TaskState.SUBMITTING, TaskState.SUBMITTED))
                    answers = np.where(sent, self._chance.choice(np.array([*Response]), len(block), p=[0.9, 0.03, 0.04, 0.02, 0.01]), 0)  # fmt: skip  # noqa: E501
                    ledger.save_block(connection, replace(
                        block,
                        states=reached,
                        reasons=np.array([REASON.get(TaskState(state), 0) for state in reached], dtype=np.uint8),
                        responses=np.maximum(block.responses, answers.astype(np.uint8)),
                        submitted_at=np.where(sent & (block.submitted_at == 0), self.clock.at, block.submitted_at).astype(np.uint32),  # noqa: E501
                    ))  # fmt: skip

    def order(self, rate: Callable[[NDArray[np.int64]], NDArray[np.float64]], days: int = 2) -> int:
        """People order `days` from now, each with the probability `rate(keys)` gives; answers how many."""
        keys = self.everybody["subscriber_key"].to_numpy()
        buyers = keys[self._chance.random(len(keys)) < rate(keys)]
        size = len(buyers)
        records = OrderRecords(
            ["cbss"] * size,
            [f"n{days}-{key}" for key in buyers.tolist()],
            np.ones(size, dtype=np.int64),
            buyers,
            ["data_30g"] * size,
            np.full(size, OrderChange.SUBSCRIBED, dtype=np.uint8),
            np.full(size, 3000, dtype=np.int64),
            np.full(size, self.clock.at + days * DAY, dtype=np.uint32),
        )
        self.clock.at += days * DAY
        with self._database.transaction() as connection:
            return int(put_orders(connection, records, self.clock.at).sum())

    def report(self) -> Document:
        with self._database.snapshot() as connection:
            return report(connection, self._warehouse, FEDERATION_KEY, "spring", self.clock.at)


@pytest.fixture
def campaign(tmp_path: Path, database: Database) -> Campaign:
    return Campaign(tmp_path, database, 12_000)
