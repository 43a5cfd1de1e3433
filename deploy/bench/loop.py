"""`liandong bench loop`: contacts a second through the whole loop, every step durable, on real processes."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc.aio
import numpy as np
import psutil
import pyarrow as pa
from liandong.campaign.v1 import campaign_pb2 as pb

from adapters.channels.journal import read_journal
from common.runtime.clock import write_offset
from deploy.local import motion
from deploy.local.federation import HQ, Local, World, fill, lay_out, layout
from deploy.local.link import Link
from deploy.local.processes import Supervisor
from deploy.operator_client import OperatorClient, connect
from hq.campaign_file import load

PROVINCE = "45"
VENDOR = f"vendor-{PROVINCE}"
WATCHED = (HQ, PROVINCE, VENDOR)
SEED = 1
POLL_SECONDS = 0.1
WAIT_SECONDS_MAX = 1_800.0
BYTES_IN_MIB = 1 << 20
CAMPAIGN = """\
name: bench_loop
title: {zh: 全程测速, en: The whole loop}
offer: {code: bench, title: {zh: 测速, en: Bench}, price_fen: 100}
audience: band >= 0
holdout: 0%
schedule: {start: 2027-03-01T09:00:00+08:00, end: 2027-03-03T21:00:00+08:00}
respond_hours: 24
attribution_days: 1
content:
  local_sms: {zh: 您的流量已使用80%，回复Y办理加油包，回复TD退订。}
waves:
  - name: only
    after: 0d
    channels: [{channel: local_sms}]
"""
ODDS = {"silence": 0.0, "throttle": 0.0, "interested": 0.01, "receipt_ms": [20, 300], "reply_ms": [50, 300]}

STAGES = {
    HQ: {"cut": "issue", "_look": "feed", "_commit": "feed", "_append": "results"},
    PROVINCE: {"HqClient._apply": "inbox", "Lane._take": "claim", "record": "record", "ReportDesk._apply": "receipts",
               "_committed": "uplink", "read_after": "uplink"},
}  # fmt: skip
"""Which stage of the loop a store function serves, by node."""

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """`stage_shares`: of all store-thread seconds; `cpu_shares`: of all processor seconds, by process."""

    tasks: int
    seconds: float
    peak_rss_mib: dict[str, float]
    """The largest resident size of each process."""
    stage_shares: dict[str, float]
    cpu_shares: dict[str, float]
    cpu_seconds: float
    unsettled: int
    doubled: int
    """Messages a vendor accepted twice."""
    kills: int

    @property
    def contacts_per_second(self) -> float:
        return self.tasks / self.seconds


async def loop(root: Path, tasks: int, kills: int, tell: Tell) -> Measured:
    """Issue `tasks` contacts at HQ, and wait until HQ knows the end of each one.

    `kills` times on the way one process after the other gets SIGKILL and is started again.
    """
    local, campaign = layout(root), load(CAMPAIGN)
    tell("people", 0, tasks)
    world = World(SEED, campaign.schedule.start - 9 * 3600, 14, None, {"local_sms": ODDS})
    await asyncio.to_thread(lay_out, local, world, _people(tasks), datetime.now(UTC))
    for node in (HQ, PROVINCE):
        await asyncio.to_thread(fill, local, node)
    tell("people", tasks, tasks)
    processes, link = Supervisor(local.logs), Link(local.ports[f"link-{PROVINCE}"], local.ports[HQ])
    await link.restore()
    try:
        async with connect(local.home(HQ) / "operator" / "operator.toml") as hq:
            await _start(local, processes, hq, campaign.schedule.start + 60)
            seconds, unsettled, cpu, peak = await _run(processes, hq, Kills(tasks, kills), tell)
    finally:
        await processes.stop()
        await link.cut()
    total = sum(cpu.values())
    shares = {name: used / total for name, used in cpu.items()} if total else {}
    return Measured(tasks, seconds, peak, _stage_shares(local), shares, total, unsettled, _doubled(local), kills)


@dataclass(slots=True)
class Kills:
    """Spread evenly over the work, first HQ, then the province, then the vendor, and round again."""

    tasks: int
    count: int
    done: int = 0

    def due(self, settled: int) -> str | None:
        """Whom to kill now that so many tasks are settled."""
        if self.done == self.count or settled * (self.count + 1) < self.tasks * (self.done + 1):
            return None
        self.done += 1
        return WATCHED[(self.done - 1) % len(WATCHED)]


async def _insist(hq: OperatorClient) -> pb.Campaign:
    """HQ may be starting again."""
    while True:
        try:
            return await hq.status("bench_loop")
        except grpc.aio.AioRpcError:
            await asyncio.sleep(POLL_SECONDS)


async def _start(local: Local, processes: Supervisor, hq: OperatorClient, moment: int) -> None:
    write_offset(local.clock_file, moment - int(time.time()))
    for name, arguments in local.processes().items():
        if name in (HQ, PROVINCE, VENDOR, f"bss-{HQ}", f"bss-{PROVINCE}"):
            await processes.start(name, arguments)
    while not motion.query(local.database(HQ), "SELECT 1 FROM session"):  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(POLL_SECONDS)
    applied = await hq.apply(CAMPAIGN)
    await hq.approve(applied.campaign.name, applied.campaign.version)


async def _run(
    processes: Supervisor, hq: OperatorClient, kills: Kills, tell: Tell
) -> tuple[float, int, dict[str, float], dict[str, float]]:
    """Seconds from approval until all is settled at HQ, what is not; by process: processor seconds, peak MiB."""
    begun, before, peak = time.monotonic(), _cpu(processes), dict.fromkeys(WATCHED, 0.0)
    while True:
        (wave,) = (await _insist(hq)).waves
        peak = {name: max(seen, _rss(processes.pid(name))) for name, seen in peak.items()}
        left = wave.open + wave.in_flight
        tell("contacts", wave.issued - left, wave.issued)
        victim = kills.due(wave.issued - left)
        if victim:
            processes.kill(victim)
        waited = time.monotonic() - begun
        if (wave.work_orders and wave.issued and left == 0) or waited > WAIT_SECONDS_MAX:
            spent = {name: max(0.0, used - before[name]) for name, used in _cpu(processes).items()}
            return waited, left, spent, peak
        await asyncio.sleep(POLL_SECONDS)


def _doubled(local: Local) -> int:
    batches = list(read_journal(local.journal(PROVINCE)))
    accepted = np.concatenate([np.zeros(0, dtype=np.uint32), *(batch.tasks for batch in batches)])
    return len(accepted) - len(np.unique(accepted))


def _people(count: int) -> pa.Table:
    numbers = 8613000000000 + np.arange(count, dtype=np.int64)
    return pa.table(
        {
            "msisdn": numbers,
            "province": np.full(count, int(PROVINCE), dtype=np.int16),
            "band": np.arange(count, dtype=np.int64) % 10,
        }
    )


def _cpu(processes: Supervisor) -> dict[str, float]:
    """Of the processes that run now: what a killed one used is not in it."""
    return {name: _processor_seconds(processes.pid(name)) for name in WATCHED}


def _processor_seconds(pid: int) -> float:
    with suppress(psutil.NoSuchProcess):  # it was just killed
        used = psutil.Process(pid).cpu_times()
        return float(used.user + used.system)
    return 0.0


def _rss(pid: int) -> float:
    with suppress(psutil.NoSuchProcess):
        return float(psutil.Process(pid).memory_info().rss) / BYTES_IN_MIB
    return 0.0


def _stage_shares(local: Local) -> dict[str, float]:
    spent: Counter[str] = Counter()
    for node, stages in STAGES.items():
        left = local.home(node) / "data" / "busy_seconds.json"
        if not left.exists():  # the node was killed and had not got up again when all was done
            continue
        for function, used in json.loads(left.read_text(encoding="utf-8")).items():
            spent[stages.get(function, "other")] += used
    total = sum(spent.values())
    return {stage: used / total for stage, used in spent.most_common()}
