"""A STOP answered to any vendor of any node is known at every node within two seconds, while bulk flows."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pyarrow as pa
import pytest
from liandong.channel.v1 import channel_pb2, channel_pb2_grpc

from common.kernel.subscriber import subscriber_keys
from common.runtime.clock import write_offset
from common.wire import tls
from common.wire.server import build_channel
from deploy.local import motion
from deploy.local.federation import HQ, NODES, PROVINCES, Local, World, fill, lay_out, layout
from deploy.local.link import Link
from deploy.local.processes import Supervisor
from deploy.operator_client import OperatorClient, connect
from hq.campaign_file import load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PEOPLE, STOPS, SEED = 240_000, 200, 3
BETWEEN_SECONDS = 0.04
RATE = 3_000
"""Messages a second that each vendor takes: without a bound the bulk is over before the stops are told."""
P99_SECONDS_MAX = 2.0
CHANNEL = {HQ: "app_push", "45": "local_sms", "13": "local_sms"}
CAMPAIGN = """\
name: bulk
title: {zh: 大批量, en: Bulk}
offer: {code: bulk, title: {zh: 大批量, en: Bulk}, price_fen: 100}
audience: band >= 0
holdout: 0%
schedule: {start: 2027-03-01T09:00:00+08:00, end: 2027-03-03T21:00:00+08:00}
respond_hours: 24
attribution_days: 1
content:
  app_push: {zh: 流量包}
  local_sms: {zh: 您的流量已使用80%，回复TD退订。}
waves:
  - name: only
    after: 0d
    channels: [{channel: app_push, when: band < 3}, {channel: local_sms}]
"""
ODDS = {"silence": 0.0, "throttle": 0.0, "stop": 0.0, "receipt_ms": [20, 300], "reply_ms": [50, 300]}
ASKED = channel_pb2.ReportRepliesRequest


def test_a_stop_reaches_every_node_in_two_seconds_under_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds, settled, unsettled = asyncio.run(_measured(tmp_path))
    p50, p99 = np.percentile(seconds, [50, 99])
    with capsys.disabled():
        print(f"\n{len(seconds)} stops, {settled:,} contacts settled meanwhile: p50 {p50:.2f} s, p99 {p99:.2f} s")
    assert min(settled, unsettled) > 0, "bulk did not flow all the time that the stops did"
    assert p99 <= P99_SECONDS_MAX


async def _measured(root: Path) -> tuple[list[float], int, int]:
    """How long each stop took to be known everywhere, how many contacts were settled in that time, and were still to
    be."""
    local, start = layout(root), load(CAMPAIGN).schedule.start
    world = World(SEED, start - 9 * 3600, 14, None, {"local_sms": ODDS, "app_push": ODDS})
    people = _people()
    await asyncio.to_thread(lay_out, local, world, people, datetime.now(UTC))
    for node in NODES:
        await asyncio.to_thread(fill, local, node)
        _bound(local.home(f"vendor-{node}") / "vendor.toml", CHANNEL[node])
    async with _running(local) as hq:
        write_offset(local.clock_file, start + 60 - int(time.time()))
        applied = await hq.apply(CAMPAIGN)
        await hq.approve(applied.campaign.name, applied.campaign.version)
        await _until_settled(local, 2_000)
        before = _settled(local)
        numbers = people.column("msisdn").to_numpy()[-STOPS:]
        seconds = await _spread(local, numbers.tolist(), start)
        settled = _settled(local)
        return seconds, settled - before, PEOPLE - settled


def _people() -> pa.Table:
    homes = np.where(np.arange(PEOPLE) % 2 == 0, 45, 13).astype(np.int16)
    numbers = 8613000000000 + np.arange(PEOPLE, dtype=np.int64)
    return pa.table({"msisdn": numbers, "province": homes, "band": np.arange(PEOPLE, dtype=np.int64) % 10})


def _bound(settings: Path, channel: str) -> None:
    section = f"[channels.{channel}]\n"
    text = settings.read_text(encoding="utf-8").replace(section, f"{section}messages_per_second_max = {RATE}\n")
    settings.write_text(text, encoding="utf-8")


@asynccontextmanager
async def _running(local: Local) -> AsyncIterator[OperatorClient]:
    processes = Supervisor(local.logs)
    links = [Link(local.ports[f"link-{code}"], local.ports[HQ]) for code in PROVINCES]
    for link in links:
        await link.restore()
    try:
        async with connect(local.home(HQ) / "operator" / "operator.toml") as hq:
            for name, arguments in local.processes().items():
                await processes.start(name, arguments)
            while len(motion.query(local.database(HQ), "SELECT 1 FROM session")) < len(PROVINCES):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            yield hq
    finally:
        await processes.stop()
        for link in links:
            await link.cut()


async def _spread(local: Local, numbers: list[int], start: int) -> list[float]:
    key = (local.home(HQ) / "federation.key").read_bytes()
    keys = dict(zip(subscriber_keys(key, numbers).tolist(), numbers, strict=True))
    seen: dict[str, dict[int, float]] = {node: {} for node in NODES}
    looking = [asyncio.create_task(_look(local.database(node), seen[node])) for node in NODES]
    said: dict[int, float] = {}
    async with AsyncExitStack() as stack:
        desks = {node: await stack.enter_async_context(_desk(local, node)) for node in NODES}
        calls = []
        for place, number in enumerate(numbers):
            node = NODES[place % len(NODES)]
            reply = channel_pb2.Reply(work_order="none", task=0, msisdn=number, text="TD", happened_at=start + 60)
            said[number] = time.monotonic()
            request = ASKED(channel=CHANNEL[node], replies=[reply])
            calls.append(asyncio.ensure_future(desks[node].ReportReplies(request, timeout=30)))
            await asyncio.sleep(BETWEEN_SECONDS)
        await asyncio.gather(*calls)
    async with asyncio.timeout(60):
        while any(len(known) < len(numbers) for known in seen.values()):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.05)
    for task in looking:
        task.cancel()
    return [max(known[of] for known in seen.values()) - said[number] for of, number in keys.items()]


async def _look(database: Path, seen: dict[int, float]) -> None:
    """Note when each stop is first there."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30, check_same_thread=False)
    while True:
        found = await asyncio.to_thread(_standing, connection)
        now = time.monotonic()
        for key in found:
            seen.setdefault(key, now)
        await asyncio.sleep(0.01)


def _standing(connection: sqlite3.Connection) -> list[int]:
    return [key for (key,) in connection.execute("SELECT subscriber_key FROM stop WHERE scope = 0 AND NOT lifted")]


@asynccontextmanager
async def _desk(local: Local, node: str) -> AsyncIterator[Any]:
    home = local.home(f"vendor-{node}")
    own = tls.read(home / "vendor.crt", home / "vendor.key")
    credentials = tls.channel_credentials((home / "authority.crt").read_bytes(), own)
    who = tls.HQ if node == HQ else tls.Identity("province", node)
    channel: grpc.aio.Channel = build_channel(local.address(node), credentials, who)
    async with channel:
        yield channel_pb2_grpc.ChannelCallbackServiceStub(channel)


def _settled(local: Local) -> int:
    counted = "SELECT coalesce(sum(delivered_tasks + failed_tasks + expired_tasks), 0) FROM task_block"
    return int(motion.query(local.database(HQ), counted)[0][0])


async def _until_settled(local: Local, tasks: int) -> None:
    async with asyncio.timeout(120):
        while _settled(local) < tasks:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.1)
