"""A node whose store goes away says so, acknowledges nothing it cannot keep, and goes on by itself."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from common.kernel.refusal import Refusal
from common.wire import tls
from common.wire.server import build_channel
from deploy.local.federation import HQ, NODES, PROVINCES
from tests.faults.conftest import databases
from tests.faults.end_state import Evidence
from tests.faults.postgres import Postgres
from tests.faults.world import Federation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
SAY_SECONDS_MAX = 10.0
RECOVER_SECONDS_MAX = 10.0
"""From the store's return to the node's."""
OUTAGE_SECONDS = 1.0
KILLS = 4
PAUSE_SECONDS = 1.5
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
NOTHING_MORE = (0, resource.RLIM_INFINITY)


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "postgresql")
    yield server
    server.close()


def test_a_database_killed_under_load_is_waited_for(postgres: Postgres, runner: asyncio.Runner, tmp_path: Path) -> None:
    federation = Federation(tmp_path / "nodes", seed=3, stores=databases(postgres.url))
    outages: list[float] = []

    async def trouble() -> None:
        for _ in range(KILLS):
            await postgres.kill()
            await _said(federation, NODES, NOT_SERVING, SAY_SECONDS_MAX)
            await _refused(federation)
            await postgres.start()
            outages.append(await _said(federation, NODES, SERVING, RECOVER_SECONDS_MAX))

    _hold(federation, runner, trouble)
    print(f"serving again {max(outages):.1f} s after the database at the latest")


def test_a_database_that_stands_still_loses_nothing(postgres: Postgres, runner: asyncio.Runner, tmp_path: Path) -> None:
    federation = Federation(tmp_path / "nodes", seed=4, stores=databases(postgres.url))

    async def trouble() -> None:
        postgres.freeze()
        await asyncio.sleep(PAUSE_SECONDS)
        postgres.thaw()

    _hold(federation, runner, trouble)


def test_a_node_whose_disk_is_full_says_so_and_goes_on_when_there_is_room(
    runner: asyncio.Runner, tmp_path: Path
) -> None:
    federation = Federation(tmp_path, seed=5)

    async def trouble() -> None:
        for some in ((HQ,), PROVINCES, NODES):
            for node in some:
                resource.prlimit(federation.processes.pid(node), resource.RLIMIT_FSIZE, NOTHING_MORE)
            await _said(federation, some, NOT_SERVING, SAY_SECONDS_MAX)
            if HQ in some:
                await _refused(federation)
            await asyncio.sleep(OUTAGE_SECONDS)
            for node in some:
                resource.prlimit(federation.processes.pid(node), resource.RLIMIT_FSIZE, UNLIMITED)
            await _said(federation, some, SERVING, RECOVER_SECONDS_MAX)

    _hold(federation, runner, trouble)


def test_a_vendor_whose_disk_is_full_takes_nothing_it_cannot_keep(runner: asyncio.Runner, tmp_path: Path) -> None:
    federation = Federation(tmp_path, seed=6)
    vendors = [f"vendor-{node}" for node in NODES]

    async def trouble() -> None:
        for limit in (NOTHING_MORE, UNLIMITED):
            for vendor in vendors:
                resource.prlimit(federation.processes.pid(vendor), resource.RLIMIT_FSIZE, limit)
            await asyncio.sleep(2 * OUTAGE_SECONDS)

    _hold(federation, runner, trouble)


def _hold(federation: Federation, runner: asyncio.Runner, trouble: Callable[[], Awaitable[object]]) -> None:
    """Two campaigns come to their end, the first with trouble in its midst, and all is as it must be."""

    async def trial() -> None:
        await federation.open()
        await federation.campaign(during=trouble)
        await federation.campaign()
        await federation.wind_up()

    try:
        runner.run(trial())
    finally:
        runner.run(federation.close())
    assert federation.processes.crashed == []
    assert Evidence(federation).wrong() == []


async def _refused(federation: Federation) -> None:
    """HQ acknowledges nothing: an operator is told that the store is away."""
    with pytest.raises(Refusal) as refused:
        await federation.hq.apply(federation.yaml(federation.day + 1))
    assert refused.value.reason == "STORE_UNAVAILABLE"


async def _said(federation: Federation, nodes: tuple[str, ...], status: int, seconds: float) -> float:
    """How long it took until the health of all `nodes` was `status`."""
    begun = time.monotonic()

    async def all_say() -> bool:
        return all([await _health(federation, node) == status for node in nodes])

    await federation.until(f"{nodes} to say {HealthCheckResponse.ServingStatus.Name(status)}", seconds, all_say)
    return time.monotonic() - begun


async def _health(federation: Federation, node: str) -> int:
    home = federation.local.home(HQ)
    own = tls.read(home / "operator" / "operator.crt", home / "operator" / "operator.key")
    credentials = tls.channel_credentials((home / "authority.crt").read_bytes(), own)
    who = tls.HQ if node == HQ else tls.Identity("province", node)
    async with build_channel(federation.local.address(node), credentials, who) as channel:
        answer = await HealthStub(channel).Check(HealthCheckRequest(), timeout=2)
    return int(answer.status)
