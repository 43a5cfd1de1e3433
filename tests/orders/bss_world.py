"""A simulated BSS in this process, its vendors' journals, and a clock that is set by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np

from adapters.bss.grpc_feed import GrpcBss
from adapters.bss.order_log import OrderLog
from adapters.bss.order_script import Faults, Offer, PoolChanges, Script, pool_changes
from adapters.bss.simulated_bss import SimulatedBss, Vendor
from adapters.bss.simulator import BssService
from adapters.channels.journal import Journal
from adapters.channels.script import Odds

DAY = 86_400
START = 1_772_294_400  # a midnight in China
PEOPLE = np.arange(8613800000000, 8613800002000, dtype=np.int64)
OFFER = Offer("5g", 5900, ("spring",), organic_share=0.1, caused={"sms": 0.2, "outbound_call": 0.3})
FAULTS = Faults(late=0.1, duplicate=0.1, reversed=0.1, cancelled=0.1)
SCRIPT = Script(seed=3, source_system="bss-45", start_at=START, days=10, faults=FAULTS)
POOL = pool_changes(SCRIPT, PEOPLE, 0.02, 0.01)


@dataclass
class HandClock:
    at: int = START

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return float(self.at)


class World:
    """A directory with one vendor's journal and the BSS's log; `bss` may be started anew on it."""

    def __init__(self, directory: Path, script: Script = SCRIPT, pool: PoolChanges = POOL) -> None:
        self.directory = directory
        self.clock = HandClock()
        self._script, self._pool = script, pool
        self._journal = Journal(directory / "accepted.journal")
        self.log: OrderLog | None = None

    def bss(self) -> SimulatedBss:
        if self.log:
            self.log.close()
        self.log = OrderLog(self.directory / "orders.jsonl")
        odds = Odds()
        vendor = Vendor(self.directory / "accepted.journal", 9, {"sms": odds, "outbound_call": odds})
        return SimulatedBss(self._script, [OFFER], PEOPLE, self._pool, self.log, [vendor], self.clock)

    def contact(
        self, people: np.ndarray[Any, Any], day: int, wave: int = 1, channel: str = "sms", second: int = 0
    ) -> None:
        values = {
            "channel": channel,
            "work_order": f"spring/{wave}/{channel}/hq",
            "accepted_at": START + day * DAY + 9 * 3600 + second,
            "expire_at": 2**31,
        }
        columns = {"tasks": np.arange(len(people), dtype=np.uint32), "msisdns": people}
        self._journal.append([(values, columns)])


@asynccontextmanager
async def over_grpc(bss: SimulatedBss) -> AsyncIterator[GrpcBss]:
    server = grpc.aio.server()
    BssService(bss).join(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield GrpcBss(channel)
    await server.stop(0)


def without_faults() -> Script:
    return replace(SCRIPT, faults=Faults())
