"""A running HQ with provinces, and policies as operators write them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hq.rpc.federation import Pace
from tests.courier.world import Begin, World

POLICY = """\
mode: shared
caps:
  - {scope: all, contacts: 3, per: 24h, province_share: 1}
  - {scope: all, contacts: 8, per: 7d, province_share: 3}
  - {scope: channel_class, value: call, contacts: 1, per: 7d}
  - {scope: product_line, value: 5g, contacts: 2, per: 30d}
cooling: 30d
after_order: 1d 12h
stop_freshness: 30m
consent: [call]
capacities: {outbound_call: 200}
quiet:
  outbound_call: {working: "20:00-09:00", rest: all_day}
calendar: {country: CN, years: [2026]}
zones: {"65": Asia/Urumqi}
"""


@pytest.fixture
def text() -> str:
    """A policy file that is right."""
    return POLICY


@pytest.fixture
def world(tmp_path: Path) -> Begin:
    """`async with world() as w:` is a running HQ and two provinces that have not dialled yet."""

    @asynccontextmanager
    async def begin() -> AsyncIterator[World]:
        made = World(tmp_path, Pace(lease=30, progress=0.3, poll=0.2))
        await made.start_hq()
        try:
            yield made
        finally:
            await made.close()

    return begin
