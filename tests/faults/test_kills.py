"""Whatever process is killed, and wherever in its work: nothing acknowledged is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deploy.local.federation import HQ, NODES, PROVINCES
from tests.faults.conftest import Stores
from tests.faults.end_state import Evidence
from tests.faults.points import points
from tests.faults.world import POLL_SECONDS, ROLES, Federation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CAMPAIGNS = 4
KILLS_MIN = 270
LAST_SECONDS_MAX = 45.0


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_killed_at_every_durable_step_a_federation_keeps_its_word(
    store: str, stores: Stores, runner: asyncio.Runner, tmp_path: Path
) -> None:
    federation = Federation(tmp_path, seed=7, stores=stores(store))
    try:
        runner.run(_trial(federation))
    finally:
        runner.run(federation.close())
    assert federation.processes.crashed == []
    for node in NODES:
        assert federation.processes.points_hit(node) >= set(points("birth"))
    evidence = Evidence(federation)
    assert evidence.wrong() == []
    assert evidence.contacts > 100 * CAMPAIGNS / 2
    assert federation.processes.kills >= KILLS_MIN
    print(f"{store}: {federation.processes.kills} kills, {evidence.contacts} contacts")


async def _trial(federation: Federation) -> None:
    """At the first campaign each process dies the first time it reaches each point, later at some other time."""
    await federation.open(birth=points("birth"))
    federation.command_points = points("contact")
    for number in range(CAMPAIGNS):
        await federation.next_day()
        _arm(federation, latest=1 + number % 3)
        await federation.campaign(during=lambda: _restart_in_order(federation))
    await _what_is_left(federation)
    federation.processes.disarm()
    await federation.wind_up()


def _arm(federation: Federation, latest: int) -> None:
    """All are killed at one moment, and each dies at each of its points once they are up again."""
    for name in federation.processes.names():
        draw = federation.random.randint
        federation.processes.arm(name, {point: draw(1, latest) for point in points(ROLES[name])})
        federation.processes.kill(name)


async def _restart_in_order(federation: Federation) -> None:
    for code in PROVINCES:
        await asyncio.sleep(1)
        federation.processes.restart(code)


async def _what_is_left(federation: Federation) -> None:
    """Steps a node seldom takes: it is left in peace until it has taken each."""
    federation.step_to(federation.day + 3)
    for name in federation.processes.names():
        federation.processes.arm(name, dict.fromkeys(_missed(federation, name), 1))
        if _missed(federation, name):
            federation.processes.kill(name)
    await federation.campaign(during=lambda: _restart_in_order(federation))

    async def hit() -> bool:
        return not any(_missed(federation, name) for name in (HQ, *PROVINCES))

    try:
        await federation.until("the last points to be reached", LAST_SECONDS_MAX, hit)
    finally:
        print({name: _missed(federation, name) for name in federation.processes.names()})
    await asyncio.sleep(POLL_SECONDS)


def _missed(federation: Federation, name: str) -> list[str]:
    return sorted(set(points(ROLES[name])) - federation.processes.points_hit(name))
