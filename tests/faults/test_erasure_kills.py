"""HQ may die at any step of recording a wish or erasing a person: what is asked again is done once and wholly."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from liandong.campaign.v1 import coordination_pb2 as pb

from common.kernel.refusal import Refusal
from common.kernel.subscriber import subscriber_keys
from common.runtime.clock import write_offset
from deploy.local import motion
from deploy.local.federation import HQ, PROVINCES, Local, World, fill, lay_out, layout
from deploy.operator_client import OperatorClient, connect
from hq.campaign_file import load
from tests.faults.points import points
from tests.faults.processes import Nursery, Processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PEOPLE, SEED = 300, 9
NUMBERS = 8613000000000 + np.arange(PEOPLE, dtype=np.int64)
PERSON = int(NUMBERS[42])
POLL_SECONDS = 0.1
CAMPAIGN = """\
name: kept
title: {zh: 保留, en: Kept}
offer: {code: kept, title: {zh: 保留, en: Kept}, price_fen: 100}
audience: band >= 0
holdout: 0%
schedule: {start: 2027-03-01T09:00:00+08:00, end: 2027-03-03T21:00:00+08:00}
respond_hours: 24
attribution_days: 1
content:
  app_push: {zh: 流量包}
waves:
  - name: only
    after: 0d
    channels: [{channel: app_push}]
"""
T = TypeVar("T")


class Dying:
    """An HQ that dies at its armed failpoints and is started again, and an operator who asks until it answers."""

    def __init__(self, local: Local, processes: Processes) -> None:
        self.local, self.processes = local, processes

    async def insist(self, ask: Callable[[OperatorClient], Awaitable[T]]) -> T:
        async with asyncio.timeout(120):
            while True:
                try:
                    async with connect(self.local.home(HQ) / "operator" / "operator.toml") as hq:
                        return await ask(hq)
                except (grpc.aio.AioRpcError, Refusal):
                    await asyncio.sleep(POLL_SECONDS)

    async def report(self) -> dict[str, Any]:
        told = await self.insist(lambda hq: hq.report("kept"))
        return {name: told[name] for name in ("people", "total", "orders", "checks")}

    def step(self) -> None:
        """On by an hour."""
        write_offset(self.local.clock_file, load(CAMPAIGN).schedule.start + 3660 - int(time.time()))

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return motion.query(self.local.database(HQ), statement, *parameters)


async def _dying(root: Path) -> tuple[Dying, Nursery]:
    local, start = layout(root), load(CAMPAIGN).schedule.start
    people = pa.table({"msisdn": NUMBERS, "province": np.full(PEOPLE, 45, np.int16), "band": np.arange(PEOPLE) % 10})
    lay_out(local, World(SEED, start - 9 * 3600, 14, None, {}), people, datetime.now(UTC))
    fill(local, HQ)
    write_offset(local.clock_file, start + 60 - int(time.time()))
    nursery = Nursery()
    await nursery.open()
    processes = Processes(nursery, local.logs)
    await processes.start(HQ, local.processes()[HQ])
    return Dying(local, processes), nursery


def test_an_erasure_that_dies_at_every_step_ends_as_if_it_had_not(tmp_path: Path) -> None:
    asyncio.run(_story(tmp_path))


async def _story(root: Path) -> None:
    dying, nursery = await _dying(root / "nodes")
    try:
        await dying.insist(lambda hq: hq.apply(CAMPAIGN))
        await dying.insist(lambda hq: hq.approve("kept", 1))
        while (await dying.report())["total"]["issued"] < PEOPLE:  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(POLL_SECONDS)
        before = await dying.report()
        dying.processes.arm(HQ, dict.fromkeys(points("person"), 1))
        dying.processes.kill(HQ)
        said_at = load(CAMPAIGN).schedule.start
        stop = pb.ConsentRecord(msisdn=PERSON, purpose="call", given_at=said_at, change=pb.CONSENT_CHANGE_STOPPED)
        assert await dying.insist(lambda hq: hq.record([stop])) == 1
        dying.step()
        assert (await dying.insist(lambda hq: hq.erase(PERSON)))["contacts"] == 1
        assert dying.processes.points_hit(HQ) == set(points("person"))
        assert await dying.report() == before
        _check(dying, await dying.insist(lambda hq: hq.export(PERSON)))
        assert dying.processes.crashed == []
    finally:
        await dying.processes.stop()
        await nursery.close()


def _check(dying: Dying, exported: dict[str, Any]) -> None:
    federation_key = (dying.local.home(HQ) / "federation.key").read_bytes()
    key = int(subscriber_keys(federation_key, [PERSON])[0])
    assert (exported["vault"], exported["tags"], exported["stops"]) == (None, None, [])
    assert [contact["text"] for contact in exported["contacts"]] == [""]
    files = list((dying.local.home(HQ) / "data").rglob("*.parquet"))
    assert all(key not in pq.read_table(path)["subscriber_key"].to_pylist() for path in files)
    assert dying.rows("SELECT count(*) FROM erasure WHERE NOT lifted") == [(1,)]
    for code in PROVINCES:
        told = dying.rows("SELECT head FROM log WHERE peer = ? AND stream = 'control'", code)
        assert told == [(2,)], "the stop once and the erasure once"
    assert json.dumps(exported).count(str(PERSON)) == 0
