"""A province contacts people on its own account: real processes, from the command to the vendor's journal and HQ."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from adapters.channels.journal import read_journal
from common.runtime.clock import write_offset
from deploy.local import motion
from deploy.local.federation import HQ, Local, World, fill, lay_out, layout
from deploy.local.link import Link
from deploy.local.processes import Supervisor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PROVINCE, VENDOR = "45", "vendor-45"
PEOPLE = 300
NOON = 1_835_150_400  # 2028-02-26 12:00 in Shanghai
WAIT_SECONDS = 40.0
NOTHING_ODD = ("refuse", "throttle", "undeliverable", "expire", "silence", "interested", "refused", "stop", "other")
ODDS = dict.fromkeys(NOTHING_ODD, 0.0) | {"receipt_ms": [20, 100]}


@dataclass
class Federation:
    local: Local
    processes: Supervisor
    link: Link
    people: Path

    async def contact(self, name: str, *more: str) -> tuple[int, str]:
        """Run the command, once more where it says so; answers its exit code and what it said."""
        code, said = await self._contact(name, *more)
        return await self._contact(name, *more) if "Run this again" in said else (code, said)

    async def _contact(self, name: str, *more: str) -> tuple[int, str]:
        arguments = [
            "-m", "province", "contact", str(self.people), "--name", name, "--offer", "o", "--text", "您好",
            "--config", str(self.local.home(PROVINCE) / "province.toml"), *more,
        ]  # fmt: skip
        command = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONUTF8": "1"}
        )
        said, _ = await command.communicate()
        return command.returncode or 0, said.decode()

    def accepted(self) -> list[tuple[str, int]]:
        """(work order, task) of every message the vendor took."""
        batches = read_journal(self.local.journal(PROVINCE))
        return [(batch.work_order, task) for batch in batches for task in batch.tasks.tolist()]

    def states(self, node: str) -> dict[str, tuple[int, int, int]]:
        """(state, delivered, suppressed) of each work order the node holds."""
        sums = "SELECT w.name, w.state, sum(delivered_tasks), sum(suppressed_tasks) FROM work_order w"
        grouped = " JOIN task_block b ON b.work_order = w.name GROUP BY w.name, w.state"
        return {row[0]: row[1:] for row in motion.query(self.local.database(node), sums + grouped)}


async def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < end, "it never came about"
        await asyncio.sleep(0.1)


async def started(root: Path) -> Federation:
    local = layout(root / "f")
    numbers = 8_613_000_000_000 + np.arange(PEOPLE, dtype=np.int64)
    people = pa.table({"msisdn": numbers, "province": np.full(PEOPLE, int(PROVINCE), dtype=np.int16)})
    world = World(1, NOON - 12 * 3600, 5, None, {"local_sms": ODDS})
    lay_out(local, world, people, datetime.now(UTC))
    for node in (HQ, PROVINCE):
        fill(local, node)
    path = root / "people.csv"
    path.write_text("\n".join(["msisdn", *map(str, numbers)]), encoding="utf-8")
    write_offset(local.clock_file, NOON - int(time.time()))
    link = Link(local.ports[f"link-{PROVINCE}"], local.ports[HQ])
    await link.restore()
    running = Federation(local, Supervisor(local.logs), link, path)
    for name, arguments in local.processes().items():
        if name in (HQ, PROVINCE, VENDOR, f"bss-{PROVINCE}", "bss-hq"):
            await running.processes.start(name, arguments)
    # Before, a province decides nothing: it does not know by which policy.
    await until(lambda: bool(motion.query(local.database(PROVINCE), "SELECT 1 FROM cursor WHERE stream = 'control'")))
    return running


async def story(root: Path) -> None:
    federation = await started(root)
    try:
        await own_contacts(federation)
        await with_hqs_help(federation)
    finally:
        await federation.processes.stop()
        await federation.link.cut()


async def own_contacts(federation: Federation) -> None:
    """Asked while HQ is out of reach and the node dies: each person gets one message, and HQ hears of all of it."""
    await federation.link.cut()
    asking = asyncio.create_task(federation.contact("first"))
    await asyncio.sleep(0.8)
    federation.processes.kill(PROVINCE)
    assert await asking == (0, f"local/first/1/local_sms/45: {PEOPLE} granted, 0 denied\n")
    code, said = await federation.contact("second")
    assert (code, said) == (
        0,
        f"local/second/1/local_sms/45: 0 granted, {PEOPLE} denied ({PEOPLE} contact cap reached)\n",
    )
    await federation.link.restore()
    first = "local/first/1/local_sms/45"
    await until(lambda: federation.states(HQ).get(first, (0, 0, 0))[1] == PEOPLE)
    assert sorted(federation.accepted()) == [(first, task) for task in range(PEOPLE)]
    assert federation.states(HQ) == federation.states(PROVINCE)


async def with_hqs_help(federation: Federation) -> None:
    """HQ has one contact a day as well, and lends each person's once."""
    granted = (0, f"asked of HQ: {PEOPLE} granted, 0 denied\n")
    denied = (0, f"asked of HQ: 0 granted, {PEOPLE} denied ({PEOPLE} contact cap reached)\n")
    for name, came_of_it in (("third", granted), ("fourth", denied)):
        code, said = await federation.contact(name, "--ask-hq")
        assert (code, said.splitlines(keepends=True)[1]) == came_of_it
    lent = "grant/third.0/1/local_sms/45"
    await until(lambda: federation.states(HQ).get(lent, (0, 0, 0))[1] == PEOPLE)
    assert len(federation.accepted()) == 2 * PEOPLE


def test_a_province_contacts_people_on_its_own_account(tmp_path: Path) -> None:
    asyncio.run(story(tmp_path))
