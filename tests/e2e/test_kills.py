"""Whichever process dies, and when: the report is the same."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapters.warehouse.population import make_population
from deploy.demo.story import Plan, Story
from deploy.local.processes import Supervisor
from deploy.operator_client import OperatorClient

ROOT = Path(__file__).parents[2]
SUBSCRIBERS, SEED = 6_000, 11
KILL_PAUSE_SECONDS = 0.35

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Quiet:
    def step(self, name: str, **facts: object) -> None: ...

    def progress(self, name: str, done: int, total: int) -> None: ...


class Killed(Story):
    """The demo's story, with one kind of process killed again and again while waves run."""

    victims: tuple[str, ...] = ()

    async def _wave(self, hq: OperatorClient, number: int) -> None:
        for victim in self.victims:
            await asyncio.sleep(KILL_PAUSE_SECONDS)
            self._processes.kill(victim)
        await Story._wave(self, hq, number)

    async def _start(self, processes: Supervisor, hq: OperatorClient) -> None:
        self._processes = processes
        await Story._start(self, processes, hq)


def _told(story: Story) -> dict[str, Any]:
    outcome = asyncio.run(story.play())
    assert [check.name for check in outcome.checks if not check.holds] == []
    return {name: outcome.report[name] for name in ("people", "total", "orders", "marketing_states")}


def _plan(root: Path) -> Plan:
    yaml = (ROOT / "deploy" / "demo" / "campaign.yaml").read_text(encoding="utf-8")
    return Plan(root, SEED, yaml, make_population(SUBSCRIBERS, SEED))


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return _told(Story(_plan(tmp_path_factory.mktemp("calm")), Quiet()))


@pytest.mark.parametrize(
    "victims",
    [
        ("hq", "hq", "45"),
        ("45", "45", "13"),
        ("vendor-hq", "vendor-45", "bss-45", "bss-hq"),
        ("hq", "45", "vendor-45", "13"),
    ],
    ids="-".join,
)
def test_kills_while_waves_run_change_nothing(victims: tuple[str, ...], calm: dict[str, Any], tmp_path: Path) -> None:
    story = Killed(_plan(tmp_path), Quiet())
    story.victims = victims
    assert _told(story) == calm
