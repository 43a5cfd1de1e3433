"""One HQ on a small population, with everything that decides about a contact, and no network."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, insert

from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from adapters.warehouse.snapshots import Snapshots
from common.courier import tables as courier_tables
from common.courier.bell import Bell
from common.delivery import claim, ledger, settle, stops, tables, vault
from common.delivery.orders import put_orders
from common.kernel.channel import CHANNELS
from common.kernel.order import OrderRecords
from common.kernel.stop import StopScope, stops_of
from common.kernel.tag import Catalogue, Sensitivity, Tag, TagType
from common.kernel.task import Response, TaskEvent, TaskReason, TaskState
from common.kernel.task_block import advance, respond
from common.kernel.work_order import WorkOrder, WorkOrderState
from common.rules.rule_language import check_rule
from common.runtime.database import Database
from hq.audience import HoldOut, build_audience, save_audience
from hq.campaign_file import check
from hq.planner import AUDIENCES, Planner
from hq.store import campaigns, provinces
from hq.store import tables as hq_tables
from hq.store.explain import explain_subscriber
from hq.store.feed import HqOutlet

FEDERATION_KEY = b"k" * 32
START = 1_772_326_800
"""2026-03-01 09:00 in Beijing."""
HOUR, DAY = 3_600, 86_400
PEOPLE = 400
KEYS = np.arange(1, PEOPLE + 1, dtype=np.int64) * 1_000

CATALOGUE = Catalogue(
    (
        Tag("age", TagType.INTEGER, nullable=False),
        Tag("app", TagType.BOOLEAN, nullable=False),
        Tag("card", TagType.TEXT, sensitivity=Sensitivity.PERSONAL),
    )
)

FILE = """\
name: {name}
title: {{zh: 春季, en: Spring}}
priority: {priority}
offer: {{code: {offer}, title: {{zh: 流量, en: Data}}, price_fen: 3000}}
audience: {audience}
holdout: {holdout}
schedule: {{start: 2026-03-01T09:00:00+08:00, end: 2026-03-15T21:00:00+08:00}}
respond_hours: 24
attribution_days: 7
content:
  app_push: {{zh: 点击办理}}
  sms: {{zh: 回复Y办理，TD退订}}
  local_sms: {{zh: 升级，TD退订}}
waves:
  - name: first
    after: 0d
    channels:
      - {{channel: app_push, when: app}}
      - {{channel: local_sms, when: age < 40}}
      - {{channel: sms, when: age < 70}}
  - name: second
    after: 3d
    select: [no_response]
    channels:
      - {{channel: local_sms, when: age > 20}}
"""


def file_of(
    name: str = "spring", audience: str = "age >= 20", holdout: str = "0%", priority: int = 50, offer: str = "data"
) -> str:
    return FILE.format(name=name, audience=audience, holdout=holdout, priority=priority, offer=offer)


@dataclass
class Clock:
    at: int = START - HOUR

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return 0.0


class Hq:
    """Both levels' work is done here, as if the provinces knew what HQ knows."""

    def __init__(self, directory: Path, url: str = "") -> None:
        self.directory = directory
        self.database = Database(url or f"sqlite:///{directory / 'hq.db'}")
        self.database.create(courier_tables.metadata, tables.metadata, hq_tables.metadata)
        self.clock = Clock()
        self.outlet = HqOutlet(self.clock)
        self.snapshots = Snapshots(directory / "people")
        self.snapshots.publish(people().to_batches(), CATALOGUE)
        homes = people()["province"].to_numpy().astype(np.int64)
        with self.database.transaction() as connection:
            for code in ("13", "45"):
                provinces.enroll(connection, code, 1)
            vault.put_subscribers(connection, KEYS, KEYS + 8_613_800_000_000, homes)

    def warehouse(self) -> DuckDbWarehouse:
        return DuckDbWarehouse.open(self.snapshots)

    def approve(self, text: str) -> None:
        warehouse = self.warehouse()
        checked = check(text, warehouse.catalogue)
        holdout = HoldOut(checked.holdout, checked.name, FEDERATION_KEY)
        audience = build_audience(warehouse, check_rule(checked.audience, warehouse.catalogue), holdout)
        save_audience(self.directory / AUDIENCES, audience)
        with self.database.transaction() as connection:
            campaigns.apply(connection, checked, text, "li")
            campaigns.approve(connection, checked, 1, "chen", audience.manifest.to_json())

    def plan(self, at: int) -> None:
        """What the planner does once the clock stands there."""
        self.clock.at = at
        asyncio.run(Planner(self.database, self.warehouse, self.clock, self.directory, Bell()).tick())

    def orders(self, connection: Connection) -> list[WorkOrder]:
        return ledger.work_orders(connection)

    def send(self, at: int, *, limit: int = 10_000) -> None:
        """Every work order is accepted and claimed; what is booked is taken by the vendor."""
        self.clock.at = at
        with self.database.transaction() as connection:
            for order in self.orders(connection):
                if order.state is WorkOrderState.ISSUED:
                    ledger.set_state(connection, order.name, WorkOrderState.ACCEPTED)
                self._send(connection, order, limit)

    def _send(self, connection: Connection, order: WorkOrder, limit: int) -> None:
        for number in ledger.block_numbers(connection, order.name):
            claimed = claim.claim(connection, order, number, self.clock.at, CHANNELS[order.channel], limit, self.outlet)
            block = ledger.load_block(connection, order.name, number)
            assert block is not None
            block, sent = advance(block, claimed.rows, TaskEvent.ACCEPT, TaskReason.NONE, self.clock.at)
            settle.save(connection, block, sent, self.outlet)

    def receive(self, at: int, *, responses: dict[int, Response] | None = None) -> None:
        """Receipts for all that is on its way, and replies by key."""
        self.clock.at = at
        with self.database.transaction() as connection:
            for order in self.orders(connection):
                for block in list(ledger.blocks(connection, order.name)):
                    way = np.flatnonzero(block.states == TaskState.SUBMITTED)
                    block, _ = advance(block, way, TaskEvent.DELIVER, TaskReason.NONE, at)
                    rows = [row for row, key in enumerate(block.keys.tolist()) if key in (responses or {})]
                    said = [(responses or {})[int(block.keys[row])] for row in rows]
                    block, _ = respond(block, np.array(rows, dtype=np.int64), np.array(said, dtype=np.uint8))
                    ledger.save_block(connection, block)

    def stop(self, keys: list[int], at: int, scope: StopScope = StopScope.ALL) -> None:
        some = np.array(sorted(keys), dtype=np.int64)
        times, lifted = np.full(len(some), at, dtype=np.uint32), np.zeros(len(some), dtype=np.bool_)
        with self.database.transaction() as connection:
            stops.put_stops(connection, stops_of(some, times, lifted, scope))

    def order(self, key: int, at: int, offer: str = "data", number: str = "A1") -> None:
        records = OrderRecords(
            ["cbss"], [number], np.array([1]), np.array([key]), [offer], np.array([1], np.uint8), np.array([3000]),
            np.array([at], np.uint32),
        )  # fmt: skip
        with self.database.transaction() as connection:
            put_orders(connection, records, at + 60)

    def apply_policy(self, version: int, document: str) -> None:
        row = {"version": version, "document": document, "received_at": self.clock.at, "objection": ""}
        with self.database.transaction() as connection:
            connection.execute(insert(tables.policy), row)

    def why(self, key: int, campaign: str = "", at: int | None = None) -> dict[str, Any]:
        now = self.clock.at
        with self.database.snapshot() as connection:
            return explain_subscriber(
                connection, self.warehouse(), FEDERATION_KEY, key, campaign, now if at is None else at, now
            )

    def spring(self, key: int, at: int | None = None) -> dict[str, Any]:
        (told,) = self.why(key, "spring", at)["campaigns"]
        return dict(told)


def people() -> pa.Table:
    draw = np.random.default_rng(5)
    return pa.table(
        {
            "subscriber_key": KEYS,
            "ordinal": pa.array(np.arange(PEOPLE, dtype=np.uint32)),
            "province": pa.array(draw.choice([45, 13], PEOPLE).astype(np.int16)),
            "age": draw.integers(16, 90, PEOPLE),
            "app": pa.array(draw.random(PEOPLE) < 0.3),
            "card": pa.array([f"card {number}" for number in range(PEOPLE)]),
        }
    )
