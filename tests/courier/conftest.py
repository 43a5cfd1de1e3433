from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hq.rpc.federation import Pace
from tests.courier.world import Begin, World


@pytest.fixture
def world(tmp_path: Path) -> Begin:
    """`async with world() as w:` is a running HQ and two provinces that have not dialled yet."""

    @asynccontextmanager
    async def begin(pace: Pace | None = None) -> AsyncIterator[World]:
        made = World(tmp_path, pace or Pace(lease=30, progress=0.3, poll=0.2))
        await made.start_hq()
        try:
            yield made
        finally:
            await made.close()

    return begin
