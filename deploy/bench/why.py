"""`liandong bench why`: how long an explanation takes at an HQ with everybody in it, several campaigns on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from adapters.warehouse.snapshots import ROW_GROUP_ROWS, Snapshots
from common.courier.bell import Bell
from common.delivery import claim, ledger, settle, stops
from common.delivery.tables import decision, task_block, vault
from common.kernel.channel import CHANNELS
from common.kernel.columns import Keys
from common.kernel.stop import stops_of
from common.kernel.subscriber import subscriber_keys
from common.kernel.tag import Catalogue, Tag, TagType
from common.kernel.task import TaskEvent, TaskReason
from common.kernel.task_block import BLOCK_ROWS, advance
from common.kernel.work_order import WorkOrder, WorkOrderState
from common.rules.rule_language import check_rule
from common.runtime import bulk
from common.runtime.clock import write_offset
from common.runtime.database import Database
from common.runtime.migrate import migrate
from common.runtime.settings import load
from deploy.local.processes import Supervisor, free_ports
from deploy.operator_client import OperatorClient, connect
from hq.__main__ import MIGRATIONS
from hq.audience import HoldOut, build_audience, save_audience
from hq.campaign_file import check
from hq.campaign_file import load as load_campaign
from hq.planner import AUDIENCES, Planner
from hq.provision import new_hq
from hq.settings import HqSettings
from hq.store import campaigns, provinces
from hq.store.feed import HqOutlet

PROVINCES = ("13", "45")
NUMBER_FIRST = 8_613_000_000_000
BANDS = 10
TAGS = 12
"""Columns beside those the rules read."""
STOPPED_SHARE = 0.03
CHUNK = 500_000
ANSWER_SECONDS_MAX = 60.0
RESULT_SECONDS = 60
CAMPAIGN = """\
name: {name}
title: {{zh: 测速, en: Bench}}
offer: {{code: {name}, title: {{zh: 测速, en: Bench}}, price_fen: 100}}
audience: band BETWEEN {low} AND {high} AND age >= 18
holdout: 5%
schedule: {{start: {start}, end: 2027-03-20T21:00:00+08:00}}
respond_hours: 24
attribution_days: 7
content:
  app_push: {{zh: 点击办理}}
  local_sms: {{zh: 回复Y办理，回复TD退订}}
waves:
  - name: only
    after: 0d
    channels:
      - {{channel: app_push, when: app}}
      - {{channel: local_sms}}
"""
STARTS = ("2027-03-01T10:00", "2027-03-01T16:00", "2027-03-03T11:00", "2027-03-05T12:00")
AUDIENCES_BY_BAND = ((0, 5), (3, 9), (1, 8), (2, 9))
"""So that some people are asked for by all campaigns and some by one, and the caps leave some out."""

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """Times in milliseconds, each of one person chosen by chance; the command is a process of its own."""

    subscribers: int
    tasks: int
    blocks: int
    all_campaigns: list[float]
    one_campaign: list[float]
    command: list[float]
    decision_bytes: float
    """Kept to explain and to replay, at both levels, by person and run."""
    suppressed_share: float

    def document(self) -> dict[str, float]:
        return {
            "subscribers": self.subscribers,
            "campaigns": len(STARTS),
            "tasks": self.tasks,
            "blocks": self.blocks,
            "p50_ms": round(float(np.quantile(self.all_campaigns, 0.5)), 1),
            "p95_ms": round(float(np.quantile(self.all_campaigns, 0.95)), 1),
            "max_ms": round(max(self.all_campaigns), 1),
            "one_campaign_p95_ms": round(float(np.quantile(self.one_campaign, 0.95)), 1),
            "command_ms": round(float(np.median(self.command))),
            "decision_bytes": round(self.decision_bytes, 2),
            "suppressed_share": round(self.suppressed_share, 3),
        }


class SetClock:
    """Stands where it is put while the past is made up."""

    def __init__(self) -> None:
        self.at = 0

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return 0.0


async def why(root: Path, subscribers: int, asked: int, tell: Tell) -> Measured:
    """Make up an HQ whose past holds several campaigns over `subscribers`, start it and ask `asked` times."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    settings = _settings(root, address)
    database = Database(settings.url("hq"))
    clock = SetClock()
    keys = await asyncio.to_thread(_people, settings, database, subscribers, tell)
    await _past(settings, database, clock, tell)
    with database.snapshot() as connection:
        size = _sizes(connection)
    database.close()
    write_offset(root / "clock", clock.at + 86_400 - int(time.time()))
    processes = Supervisor(root)
    await processes.start("hq", ["-m", "hq", "serve", "--config", str(root / "hq.toml")])
    try:
        return await _ask_all(root, keys, asked, size, tell)
    finally:
        await processes.stop()


async def _ask_all(root: Path, keys: Keys, asked: int, size: _Size, tell: Tell) -> Measured:
    operator = root / "operator" / "operator.toml"
    draw = np.random.default_rng(7)
    people = draw.choice(keys, 2 * asked + 1).tolist()
    async with connect(operator) as hq:
        await _awake(hq, people[0])
        everything = [await _timed(hq, key, "") for key in people[1 : asked + 1]]
        one = [await _timed(hq, key, _name(place % len(STARTS))) for place, key in enumerate(people[asked + 1 :])]
    tell("asked", 2 * asked, 2 * asked)
    command = [await asyncio.to_thread(_command, operator, key) for key in people[:5]]
    return Measured(len(keys), size.tasks, size.blocks, everything, one, command, size.decision_bytes, size.suppressed)


async def _awake(hq: OperatorClient, key: int) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    while True:
        try:
            await hq.explain({"subscriber_key": key}, "", 0)
        except Exception:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def _timed(hq: OperatorClient, key: int, campaign: str) -> float:
    begun = time.perf_counter()
    await hq.explain({"subscriber_key": key}, campaign, 0)
    return 1e3 * (time.perf_counter() - begun)


def _command(operator: Path, key: int) -> float:
    begun = time.perf_counter()
    words = [sys.executable, "-m", "deploy.cli.entry", "why", f"{key:016x}", "--operator", str(operator)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
    return 1e3 * (time.perf_counter() - begun)


def _settings(root: Path, address: str) -> HqSettings:
    file = new_hq(root, address, datetime.now(UTC))
    write_offset(root / "clock", 0)
    file.write_text(f'clock_file = "{root / "clock"}"\n{file.read_text(encoding="utf-8")}', encoding="utf-8")
    return load(HqSettings, file)


def _people(settings: HqSettings, database: Database, subscribers: int, tell: Tell) -> Keys:
    """Everybody in the vault and in one snapshot; answers their keys, ascending."""
    migrate(database, MIGRATIONS)
    numbers = NUMBER_FIRST + np.arange(subscribers, dtype=np.int64)
    key, parts = settings.federation_key(), []
    for start in range(0, subscribers, CHUNK):
        parts.append(subscriber_keys(key, numbers[start : start + CHUNK].tolist()))
        tell("people", start, 3 * subscribers)
    keys = np.concatenate(parts)
    order = np.argsort(keys)
    keys, numbers = keys[order], numbers[order]
    homes = np.array([int(code) for code in PROVINCES])[np.arange(subscribers) % len(PROVINCES)]
    for start in range(0, subscribers, CHUNK):
        part = slice(start, start + CHUNK)
        columns = {"subscriber_key": keys[part], "msisdn": numbers[part], "province": homes[part],
                   "active": np.ones(len(keys[part]), dtype=np.bool_)}  # fmt: skip
        with database.transaction() as connection:
            bulk.insert_new(connection, vault, columns)
        tell("people", subscribers + start, 3 * subscribers)
    tags = [Tag("band", TagType.INTEGER), Tag("age", TagType.INTEGER), Tag("app", TagType.BOOLEAN)]
    tags += [Tag(f"tag{place}", TagType.INTEGER) for place in range(TAGS)]
    Snapshots(settings.data_dir / "people").publish(_batches(keys, homes), Catalogue(tuple(tags)))
    _stop_some(database, keys)
    tell("people", 3 * subscribers, 3 * subscribers)
    return keys


def _batches(keys: Keys, homes: NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
    draw = np.random.default_rng(1)
    for start in range(0, len(keys), ROW_GROUP_ROWS):
        some = keys[start : start + ROW_GROUP_ROWS]
        yield pa.RecordBatch.from_pydict(
            {
                "subscriber_key": some,
                "ordinal": np.arange(start, start + len(some), dtype=np.uint32),
                "province": homes[start : start + len(some)].astype(np.int16),
                "band": draw.integers(0, BANDS, len(some)),
                "age": draw.integers(16, 90, len(some)),
                "app": draw.random(len(some)) < 0.4,
            }
            | {f"tag{place}": draw.integers(0, 1_000, len(some)) for place in range(TAGS)}
        )


def _stop_some(database: Database, keys: Keys) -> None:
    stopped = np.sort(np.random.default_rng(2).choice(keys, int(len(keys) * STOPPED_SHARE), replace=False))
    with database.transaction() as connection:
        for code in PROVINCES:
            provinces.enroll(connection, code, 1)
        times, lifted = np.ones(len(stopped), dtype=np.uint32), np.zeros(len(stopped), dtype=np.bool_)
        stops.put_stops(connection, stops_of(stopped, times, lifted))


async def _past(settings: HqSettings, database: Database, clock: SetClock, tell: Tell) -> None:
    """Each campaign approved, cut, sent and answered for, by the code that does so."""
    snapshots = Snapshots(settings.data_dir / "people")

    def warehouse() -> DuckDbWarehouse:
        return DuckDbWarehouse.open(snapshots)

    planner = Planner(database, warehouse, clock, settings.data_dir, Bell())
    for place, start in enumerate(STARTS):
        low, high = AUDIENCES_BY_BAND[place]
        text = CAMPAIGN.format(name=_name(place), low=low, high=high, start=f"{start}:00+08:00")
        clock.at = load_campaign(text).schedule.start
        await asyncio.to_thread(_approve, settings, database, warehouse(), text)
        await planner.tick()
        await asyncio.to_thread(_send, database, clock, _name(place))
        tell("campaigns", place + 1, len(STARTS))


def _approve(settings: HqSettings, database: Database, warehouse: DuckDbWarehouse, text: str) -> None:
    campaign = check(text, warehouse.catalogue)
    holdout = HoldOut(campaign.holdout, campaign.name, settings.federation_key())
    audience = build_audience(warehouse, check_rule(campaign.audience, warehouse.catalogue), holdout)
    save_audience(settings.data_dir / AUDIENCES, audience)
    with database.transaction() as connection:
        campaigns.apply(connection, campaign, text, "bench")
        campaigns.approve(connection, campaign, 1, "bench", audience.manifest.to_json())


def _send(database: Database, clock: SetClock, campaign: str) -> None:
    outlet = HqOutlet(clock)
    with database.snapshot() as connection:
        orders = ledger.work_orders(connection, campaign=campaign)
        blocks = [(order, number) for order in orders for number in ledger.block_numbers(connection, order.name)]
    with database.transaction() as connection:
        for order in orders:
            ledger.set_state(connection, order.name, WorkOrderState.ACCEPTED)
    for order, number in blocks:
        with database.transaction() as connection:
            _deliver(connection, order, number, clock.at, outlet)


def _deliver(connection: Connection, order: WorkOrder, number: int, now: int, outlet: HqOutlet) -> None:
    claimed = claim.claim(connection, order, number, now, CHANNELS[order.channel], BLOCK_ROWS, outlet)
    block, rows = claimed.block, claimed.rows
    for event, at in ((TaskEvent.ACCEPT, now), (TaskEvent.DELIVER, now + RESULT_SECONDS)):
        block, _ = advance(block, rows, event, TaskReason.NONE, at)
    settle.save(connection, block, rows, outlet)


@dataclass(frozen=True, slots=True)
class _Size:
    tasks: int
    blocks: int
    decision_bytes: float
    suppressed: float


def _sizes(connection: Connection) -> _Size:
    tasks, suppressed, blocks = connection.execute(
        select(func.sum(task_block.c.tasks), func.sum(task_block.c.suppressed_tasks), func.count())
    ).one()
    columns = [decision.c.work_order, decision.c.stage, decision.c.rivals, decision.c.facts, decision.c.digest]
    each = sum((func.length(column) for column in columns[1:]), func.length(columns[0])) + 16
    kept = dict(connection.execute(select(decision.c.stage, func.sum(each)).group_by(decision.c.stage)).all())
    # A province keeps what it decided, and HQ a copy of it.
    return _Size(tasks, blocks, (kept["issue"] + 2 * kept["claim"]) / tasks, suppressed / tasks)


def _name(place: int) -> str:
    return f"bench{place + 1}"
