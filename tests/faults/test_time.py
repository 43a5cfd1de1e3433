"""Processes that stand still and clocks that are wrong cost time, and nothing else."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from common.runtime.clock import write_offset
from deploy.local.federation import NODES
from tests.faults.end_state import Evidence
from tests.faults.world import DAY, HOUR, Federation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

PAUSES, PAUSE_SECONDS = 16, (0.1, 1.2)
JUMPS = (HOUR, -HOUR, 8 * DAY, -365 * DAY, 1, 0)
JUMP_SECONDS = 1.2
"""Long enough for a node to see it."""


def test_processes_that_stand_still_lose_nothing(runner: asyncio.Runner, tmp_path: Path) -> None:
    federation = Federation(tmp_path, seed=21)

    async def trouble() -> None:
        for _ in range(PAUSES):
            name = federation.random.choice(federation.processes.names())
            federation.processes.signal(name, signal.SIGSTOP)
            await asyncio.sleep(federation.random.uniform(*PAUSE_SECONDS))
            federation.processes.signal(name, signal.SIGCONT)

    async def trial() -> None:
        await federation.open()
        await federation.campaign(during=trouble)
        await federation.wind_up()

    _hold(federation, runner, trial())


def test_wall_clocks_that_jump_change_nothing_and_are_told_of(runner: asyncio.Runner, tmp_path: Path) -> None:
    federation = Federation(tmp_path, seed=22)

    async def trouble() -> None:
        for turn in range(len(JUMPS)):
            for place, node in enumerate(NODES):
                write_offset(federation.wall(node), JUMPS[(turn + place) % len(JUMPS)])
            federation.processes.kill(NODES[turn % len(NODES)])
            await asyncio.sleep(JUMP_SECONDS)

    async def trial() -> None:
        await federation.open()
        await federation.campaign(during=trouble)
        await federation.campaign()
        await federation.wind_up()

    _hold(federation, runner, trial())
    for node in NODES:
        assert "the wall clock is" in (federation.local.logs / f"{node}.log").read_text(encoding="utf-8")


def _hold(federation: Federation, runner: asyncio.Runner, trial: object) -> None:
    try:
        runner.run(trial)  # type: ignore[arg-type]
    finally:
        runner.run(federation.close())
    assert federation.processes.crashed == []
    assert Evidence(federation).wrong() == []
