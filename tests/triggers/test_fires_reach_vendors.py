"""Fires of real people in a running federation reach the vendor once each, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from adapters.channels.journal import read_journal
from adapters.warehouse.population import make_population
from common.kernel.subscriber import subscriber_keys
from common.runtime.clock import SteppedClock, write_offset
from common.runtime.database import Database
from deploy.checker.check import check
from deploy.checker.sources import Sources, read
from deploy.local.federation import HQ, NODES, PROVINCES, Local, World, fill, lay_out, layout
from deploy.local.link import Link
from deploy.local.processes import Supervisor
from province.triggers.hand_over import hand_over
from tests.triggers.fires import CODE, HERE, firing, rule

PEOPLE, AT_ONCE = 1_000, 25
WAIT_SECONDS = 60.0
QUIET_SECONDS = 2.0
NOON = int(datetime(2027, 3, 1, 4, tzinfo=UTC).timestamp())
ODDS = {"refuse": 0.0, "lost_answers": 0.05}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@asynccontextmanager
async def _federation(root: Path, noon: int = NOON) -> AsyncIterator[tuple[Local, Supervisor]]:
    local = layout(root)
    people = make_population(6_000, 3)
    lay_out(local, World(3, noon - 12 * 3600, 3, None, {"local_sms": ODDS}), people, datetime.now(UTC))
    write_offset(local.clock_file, noon - int(time.time()))
    for node in NODES:
        fill(local, node)
    links = [Link(local.ports[f"link-{code}"], local.ports[HQ]) for code in PROVINCES]
    processes = Supervisor(local.logs)
    try:
        for link in links:
            await link.restore()
        for name, arguments in local.processes().items():
            await processes.start(name, arguments)
        yield local, processes
    finally:
        await processes.stop()
        for link in links:
            await link.cut()


async def _until(what: str, holds: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not await holds():
        assert time.monotonic() < deadline, f"waited {WAIT_SECONDS} s for {what}"
        await asyncio.sleep(0.1)


def _sent(local: Local) -> Counter[int]:
    return Counter(number for batch in read_journal(local.journal(CODE)) for number in batch.msisdns.tolist())


def _people(store: Database, key: bytes) -> tuple[list[int], np.ndarray]:
    with store.snapshot() as connection:
        wanted = text("SELECT msisdn FROM vault WHERE active AND province = :here ORDER BY msisdn LIMIT :people")
        numbers = list(connection.execute(wanted, {"here": int(CODE), "people": PEOPLE}).scalars())
    assert len(numbers) == PEOPLE
    return numbers, subscriber_keys(key, numbers)


def _hand(store: Database, clock: SteppedClock, keys: np.ndarray) -> dict[str, dict[str, int]]:
    fired = firing(rule(), keys.tolist(), at=clock.now())
    with store.transaction() as connection:
        return hand_over(connection, [fired], HERE, int(CODE), clock.milliseconds())


async def _tell(local: Local, processes: Supervisor, victims: tuple[str, ...]) -> None:
    """Hand a thousand fires over, every second part of them twice, while processes die."""
    store, clock = Database(f"sqlite:///{local.database(CODE)}"), SteppedClock(local.clock_file)
    numbers, keys = _people(store, (local.home(CODE) / "federation.key").read_bytes())
    parts = np.array_split(keys, PEOPLE // AT_ONCE)
    for place, part in enumerate(parts):
        await asyncio.to_thread(_hand, store, clock, part)
        if place % 2:
            told = await asyncio.to_thread(_hand, store, clock, part)
            assert told == {"r": {"known": len(part)}}
        if victims and place % (len(parts) // (len(victims) + 1)) == 5:
            processes.kill(victims[place * len(victims) // len(parts)])
        await asyncio.sleep(0.05)
    store.close()

    async def all_sent() -> bool:
        return len(_sent(local)) == PEOPLE

    await _until("everybody to be told", all_sent)
    await asyncio.sleep(QUIET_SECONDS)
    sent = _sent(local)
    assert (sorted(sent), set(sent.values())) == (numbers, {1})


@pytest.mark.parametrize("victims", [(), (CODE, CODE), (f"vendor-{CODE}", CODE, HQ)], ids="-".join)
def test_each_fire_is_one_message(victims: tuple[str, ...], tmp_path: Path) -> None:
    async def trial() -> None:
        async with _federation(tmp_path / "f") as (local, processes):
            await _tell(local, processes, victims)

    asyncio.run(trial())
    local = tmp_path / "f"
    key = (local / HQ / "federation.key").read_bytes()
    stores = {node: f"sqlite:///{local / node / 'data' / ('hq.db' if node == HQ else 'province.db')}" for node in NODES}
    journals = {node: [local / f"vendor-{node}" / "data" / "accepted.journal"] for node in NODES}
    found = check(read(Sources(stores, journals, key)))
    assert [f"{each.rule}: {each.first}" for each in found if each.broken] == []
