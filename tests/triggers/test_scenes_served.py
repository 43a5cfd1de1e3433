"""The scenes published by HQ, and engine and forecast as processes: who uses data is told within seconds."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc.aio
import numpy as np
import pytest

from common.delivery import consents
from common.kernel.consent import LOCATION, Consents
from common.runtime.clock import SteppedClock
from common.runtime.database import Database
from deploy.local.federation import HQ, Local
from deploy.local.processes import Supervisor
from province.store import triggers
from tests.triggers.engine_world import event
from tests.triggers.test_fires_reach_vendors import CODE, _federation, _people, _sent, _until
from tests.triggers.test_scenes import FILES
from tests.triggers.test_serve import _push, _serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
NOON = int(datetime(2027, 3, 16, 4, tzinfo=UTC).timestamp())
GIB = 1 << 30
OTHER = "13"
FORETOLD, THRIFTY = slice(0, 30), slice(30, 60)
HEAVY, COMMUTER, UNASKED = 60, 61, 62


async def _publish(local: Local, store: Database) -> None:
    operator = str(local.home(HQ) / "operator" / "operator.toml")
    for file in FILES:
        command = ["-m", "deploy.cli.root", "triggers", "apply", str(file), "--operator", operator]
        process = await asyncio.create_subprocess_exec(sys.executable, *command)
        assert await process.wait() == 0

    async def taken() -> bool:
        with store.snapshot() as connection:
            return len(triggers.in_force(connection).documents) == len(FILES)

    await _until("the province to take the rules", taken)


def _history(keys: list[int], now: datetime) -> list[bytes]:
    """From the first of the month before: 1.2 GB a day of 30 in a month, or half of that."""
    first = datetime(2027, 2, 1, 4, tzinfo=UTC)
    days = [first + timedelta(days) for days in range((now - first).days)]
    shares = {**dict.fromkeys(keys[FORETOLD], 1.2), **dict.fromkeys(keys[THRIFTY], 0.6)}
    past = [_used(key, at, share, f"{at:%m%d}") for at in days for key, share in shares.items()]
    return past + [_used(key, now, 0.1, "now") for key in shares]


def _used(key: int, at: datetime, gib: float, number: str) -> bytes:
    data = {"used_bytes": round(gib * GIB), "allowance_bytes": 30 * GIB}
    return event("data_used", f"{key}-{number}", key, at.isoformat(), **data)


def _agree(store: Database, key: int, now: int) -> None:
    columns = np.array([now - 60], np.uint32), np.array([now + 86_400], np.uint32), np.array([False])
    with store.transaction() as connection:
        consents.put_consents(connection, Consents(np.array([key]), [LOCATION], ["form"], *columns), now)


async def _forecast(local: Local, processes: Supervisor) -> None:
    settings = local.home(CODE) / "province.toml"
    told, section = settings.read_text(encoding="utf-8"), '[triggers]\nsource = "journal"'
    settings.write_text(told.replace(section, f"{section}\nforecast_seconds = 2"), encoding="utf-8")
    await processes.start("forecast", ["-m", "deploy.cli.root", "triggers", "forecast", "--config", str(settings)])


def _refreshed(local: Local) -> int:
    return (local.logs / "forecast.log").read_text(encoding="utf-8").count("forecast of 1 partitions")


def test_the_scenes_as_they_ship(tmp_path: Path) -> None:
    """Once each, though the forecast, the engine and the node are killed meanwhile."""

    async def trial() -> None:
        async with _federation(tmp_path / "f", NOON) as (local, processes):
            store, clock = Database(f"sqlite:///{local.database(CODE)}"), SteppedClock(local.clock_file)
            numbers, people = _people(store, (local.home(CODE) / "federation.key").read_bytes())
            keys = people.tolist()
            await _publish(local, store)
            _agree(store, keys[COMMUTER], clock.now())
            for other in (f"bss-{OTHER}", OTHER):
                with pytest.raises(grpc.aio.AioRpcError, match="may not push events"):
                    await _push(local, [b"{}"], other)
            await _serve(local, processes)
            now = datetime.fromtimestamp(clock.now() - 5, UTC)
            history = _history(keys, now)
            for first in range(0, len(history), 1_000):
                assert await _push(local, history[first : first + 1_000])
            await _push(local, [_used(keys[HEAVY], now, 28, "all at once")])
            cell = {"cell_id": "460-01-1-1"}
            await _push(
                local, [event("subway", f"s{key}", keys[key], now.isoformat(), **cell) for key in (COMMUTER, UNASKED)]
            )
            began = time.monotonic()
            expected = sorted([*numbers[FORETOLD], numbers[HEAVY], numbers[COMMUTER]])

            async def told(count: int) -> bool:
                return len(_sent(local)) >= count

            await _until("the scenes of three minutes", lambda: told(2))
            assert sorted(_sent(local)) == sorted([numbers[HEAVY], numbers[COMMUTER]])
            await _forecast(local, processes)
            await _until("the scene of the model", lambda: told(len(expected)))
            print(f"the model's scene: {time.monotonic() - began:.1f} s, ten of them the forecast's first wait")
            for victim in ("forecast", "engine", CODE):
                processes.kill(victim)
            before = _refreshed(local)

            async def again() -> bool:
                return _refreshed(local) >= before + 2

            await _until("the forecast to score everybody again", again)
            await asyncio.sleep(2)
            assert sorted(_sent(local).elements()) == expected
            store.close()

    asyncio.run(trial())
