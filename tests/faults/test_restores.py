"""A store that came back from an old backup makes nobody contacted too often and nothing counted twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from common.kernel.incarnation import UNDATED
from common.runtime.clock import write_offset
from deploy.local.federation import HQ, NODES, PROVINCES
from tests.faults.backups import back_up, put_back
from tests.faults.conftest import Stores
from tests.faults.end_state import Evidence
from tests.faults.points import points
from tests.faults.world import Federation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WORK_SECONDS = 0.5
"""Into a campaign: then some of it is done."""
FENCE_SECONDS_MAX = 20.0
WALL_OFF_SECONDS = 30 * 86_400
"""Ahead: what a node hears meanwhile it dates so, too, and dated too early it would seem to have been known."""
FENCE_DAYS = 12
"""Longer than the longest window of the policy and than what a work order is valid for."""


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
@pytest.mark.parametrize("victims", [("45",), (HQ,), (HQ, *PROVINCES)], ids="-".join)
def test_a_stale_store_is_noticed_and_fenced(
    victims: tuple[str, ...], store: str, stores: Stores, runner: asyncio.Runner, tmp_path: Path
) -> None:
    federation = Federation(tmp_path, seed=31, stores=stores(store))

    async def noticed() -> bool:
        return all(federation.query(node, "SELECT number FROM incarnation")[0][0] > 1 for node in victims)

    async def trial() -> None:
        await federation.open()
        await federation.campaign()
        for node in victims:
            await back_up(federation, node)
        remembered = list(federation.approved)
        await federation.campaign()
        if victims == (HQ,):
            await _die_cutting(federation)
        else:
            await federation.begin()
            await asyncio.sleep(WORK_SECONDS)
            federation.processes.arm(HQ, dict.fromkeys(points("reset"), 1))
            federation.processes.kill(HQ)
        await put_back(federation, {node: _deaths(node) for node in victims})
        await federation.until("the fences to rise", FENCE_SECONDS_MAX, noticed)
        await federation.quiet()
        if HQ in victims:
            federation.approved = remembered
        if set(NODES) == set(victims):
            # Campaigns as well as what provinces asked for on their own account, lent contacts or not.
            federation.forgotten = {2, 3}
        federation.step_to(federation.day + FENCE_DAYS)
        if victims == (HQ,):
            await _another_policy(federation)
        await federation.campaign()
        await federation.wind_up()

    try:
        runner.run(trial())
    finally:
        runner.run(federation.close())
    assert federation.processes.crashed == []
    wrong = Evidence(federation).wrong()
    assert wrong == [], "\n".join(wrong)
    for node in victims:
        assert federation.processes.points_hit(node) >= set(points("restore"))
    assert federation.processes.points_hit(HQ) >= set(points("reset"))
    if victims == (HQ,):
        assert federation.processes.points_hit(HQ) >= set(points("half_cut"))


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
@pytest.mark.parametrize("victim", ["45", HQ])
def test_a_store_put_back_while_nobody_knows_the_time_is_fenced_from_when_somebody_does(
    victim: str, store: str, stores: Stores, runner: asyncio.Runner, tmp_path: Path
) -> None:
    """It dies before and after it notes when that was."""
    federation = Federation(tmp_path, seed=37, stores=stores(store))

    def fenced_at() -> int:
        ((number, at),) = federation.query(victim, "SELECT number, fenced_at FROM incarnation")
        return int(at) if number > 1 else 0

    async def undated() -> bool:
        return fenced_at() == UNDATED

    async def dated() -> bool:
        return 0 < fenced_at() < UNDATED

    async def trial() -> None:
        await federation.open()
        await federation.campaign()
        await back_up(federation, victim)
        remembered = list(federation.approved)
        await federation.campaign()
        await put_back(federation, {victim: points("undated")}, wall_off_seconds=WALL_OFF_SECONDS)
        await federation.until("the fence to rise without a date", FENCE_SECONDS_MAX, undated)
        write_offset(federation.wall(victim), 0)
        await federation.until("the fence to be dated", FENCE_SECONDS_MAX, dated)
        assert abs(fenced_at() - federation.now()) < FENCE_SECONDS_MAX + 60
        await federation.quiet()
        if victim == HQ:
            federation.approved = remembered
        federation.step_to(federation.day + FENCE_DAYS)
        if victim == HQ:
            await _another_policy(federation)
        await federation.campaign()
        await federation.wind_up()

    try:
        runner.run(trial())
    finally:
        runner.run(federation.close())
    assert federation.processes.crashed == []
    wrong = Evidence(federation).wrong()
    assert wrong == [], "\n".join(wrong)
    assert federation.processes.points_hit(victim) >= set(points("undated"))


def _deaths(node: str) -> tuple[str, ...]:
    more = (*points("reset"), *points("half_cut")) if node == HQ else ()
    return points("restore") + more


async def _another_policy(federation: Federation) -> None:
    """Provinces have had one that HQ forgot: it issues nothing before they have had another for the longest window."""
    await federation.new_policy()
    await federation.quiet()
    federation.step_to(federation.day + FENCE_DAYS)


async def _die_cutting(federation: Federation) -> None:
    """HQ stands still before it commits the first tasks of the next campaign, and dies when provinces have the rest.

    So they hold work orders without tasks, of which an HQ that is put back knows nothing, and which it ends half cut.
    """
    await federation.processes.stop([HQ])
    await federation.start(HQ, hangs_at="planner.issue.before_commit")
    name = f"c{federation.day + 1:02d}"
    beginning = asyncio.create_task(federation.begin())

    async def told() -> bool:
        held = "SELECT 1 FROM work_order WHERE campaign = :name"
        return all(federation.query(code, held, name=name) for code in PROVINCES)

    try:
        await federation.until("the provinces to hold work orders", FENCE_SECONDS_MAX, told)
    finally:
        beginning.cancel()
    federation.processes.kill(HQ)
