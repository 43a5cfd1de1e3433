"""A store that came back from an old backup makes nobody contacted too often and nothing counted twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deploy.local.federation import HQ, NODES, PROVINCES
from tests.faults.backups import back_up, put_back
from tests.faults.conftest import Stores
from tests.faults.end_state import Evidence
from tests.faults.points import points
from tests.faults.world import Federation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

WORK_SECONDS = 0.5
"""Into a campaign: then some of it is done."""
FENCE_SECONDS_MAX = 20.0
FENCE_DAYS = 8
"""Longer than the longest window of the policy."""


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
        await federation.begin()
        await asyncio.sleep(WORK_SECONDS)
        federation.processes.arm(HQ, dict.fromkeys(points("reset"), 1))
        federation.processes.kill(HQ)
        deaths = dict.fromkeys(victims, points("restore"))
        await put_back(federation, deaths | ({HQ: points("restore") + points("reset")} if HQ in victims else {}))
        await federation.until("the fences to rise", FENCE_SECONDS_MAX, noticed)
        await federation.quiet()
        if HQ in victims:
            federation.approved = remembered
        if set(NODES) == set(victims):
            # Campaigns as well as what provinces asked for on their own account, lent contacts or not.
            federation.forgotten = {2, 3}
        federation.step_to(federation.day + FENCE_DAYS)
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
