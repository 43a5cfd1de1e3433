"""Whatever a wire does between two processes: nothing acknowledged is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from deploy.local.link import ONCE, Fault, Link
from tests.faults.conftest import Stores
from tests.faults.end_state import Evidence
from tests.faults.world import Federation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FAULTS_MIN = {"sqlite": 80, "postgresql": 100}
"""Nodes reach SQLite over no link. With LOST_MIN more than a hundred on either store."""
HOLD_SECONDS = 0.5
CUT_SECONDS = 1.5
HIT_SECONDS_MAX = 8.0
"""Traffic on a link may be a while in coming: a vendor's begins when HQ's work orders have got through."""
LOOK_SECONDS = 0.02
LOST_CAMPAIGNS, LOST_A_CAMPAIGN, LOST_MIN = 3, 30, 40
LOST_SECONDS_MAX = 0.3

Struck = dict[tuple[str, Fault], bool]
"""By link and fault, whether it met traffic."""

STORES = pytest.mark.parametrize("store", ["sqlite", "postgresql"])


@STORES
def test_whatever_its_links_do_a_federation_keeps_its_word(
    store: str, stores: Stores, runner: asyncio.Runner, tmp_path: Path
) -> None:
    federation = Federation(tmp_path, seed=11, stores=stores(store), linked_stores=True)
    struck = _kept(federation, runner, _every_way)
    print(
        f"{store}: {sum(struck.values())} faults of {len(struck)}, else {[each for each in struck if not struck[each]]}"
    )
    assert sum(struck.values()) >= FAULTS_MIN[store]


@STORES
def test_answers_lost_again_and_again_change_nothing(
    store: str, stores: Stores, runner: asyncio.Runner, tmp_path: Path
) -> None:
    """What was asked took effect each time, and whoever asked does not know."""
    federation = Federation(tmp_path, seed=12, stores=stores(store), linked_stores=True)
    struck = _kept(federation, runner, _lost_answers)
    print(f"{store}: {sum(struck.values())} answers lost")
    assert sum(struck.values()) >= LOST_MIN


def _kept(federation: Federation, runner: asyncio.Runner, trial: Callable[[Federation], Awaitable[Struck]]) -> Struck:
    try:
        struck = runner.run(trial(federation))
    finally:
        runner.run(federation.close())
    assert federation.processes.crashed == []
    assert Evidence(federation).wrong() == []
    return struck


async def _lost_answers(federation: Federation) -> Struck:
    await federation.open()
    struck: Struck = {}
    for _ in range(LOST_CAMPAIGNS):

        async def trouble() -> None:
            for _ in range(LOST_A_CAMPAIGN):
                name = federation.random.choice(list(federation.links))
                hit = await _strike(federation.links[name], Fault.LOST_ANSWER, LOST_SECONDS_MAX)
                struck[f"{len(struck)} {name}", Fault.LOST_ANSWER] = hit

        await federation.campaign(during=trouble)
    await federation.wind_up()
    return struck


async def _every_way(federation: Federation) -> Struck:
    """At each campaign every link fails at once, each in another way, until each has failed in every way."""
    await federation.open()
    struck: Struck = {}
    ways = list(Fault)
    for turn in range(len(ways)):
        faults = {name: ways[(place + turn) % len(ways)] for place, name in enumerate(federation.links)}

        async def trouble(faults: dict[str, Fault] = faults) -> None:
            hits = await asyncio.gather(*(_strike(federation.links[name], fault) for name, fault in faults.items()))
            struck.update(zip(faults.items(), hits, strict=True))

        await federation.campaign(during=trouble)
    await federation.wind_up()
    return struck


async def _strike(link: Link, fault: Fault, seconds: float = HIT_SECONDS_MAX) -> bool:
    """Whether it met any traffic within `seconds`."""
    before, end = link.hits, time.monotonic() + seconds
    await link.fail(fault)
    while link.hits == before and time.monotonic() < end:  # noqa: ASYNC110 - a link is watched, it tells nobody
        await asyncio.sleep(LOOK_SECONDS)
    if fault not in ONCE:
        await asyncio.sleep(CUT_SECONDS if fault is Fault.CUT else HOLD_SECONDS)
    await link.restore()
    return link.hits > before
