"""A real HQ and real provinces in one process: mTLS over loopback, a SQLite file each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np

from common.courier import tables as courier_tables
from common.courier.bell import Bell
from common.delivery import ledger, vault
from common.delivery import tables as delivery_tables
from common.delivery.fence import Fence
from common.kernel.channel import CHANNELS
from common.kernel.task_block import TaskBlock, open_block
from common.kernel.work_order import HQ_NODE, WorkOrder
from common.runtime.clock import SystemClock
from common.runtime.database import Database
from common.wire import tls
from common.wire.server import build_channel, build_server
from hq.rpc.federation import ACCESS, Federation, Pace
from hq.store import feed, provinces, sessions
from hq.store import tables as hq_tables
from hq.store.feed import HqOutlet
from province import link
from province.inbox import Inbox
from province.rpc.hq_client import HqClient
from province.store import tables as province_tables
from province.uplink import HqOutlet as ProvinceOutlet

NOW = 1_790_000_000
CODES = ("45", "13")


def work_order(node: str, tasks: int, name: str = "spring", channel: str = "local_sms") -> WorkOrder:
    return WorkOrder(f"{name}/1/{channel}/{node}", name, 1, channel, node, "offer", NOW, NOW + 86_400, 5, tasks)


def block(order: WorkOrder, number: int, rows: int) -> TaskBlock:
    keys = number * 100_000 + np.arange(1, rows + 1, dtype=np.int64)
    return open_block(order.name, number, keys, ("hello",), np.zeros(rows, dtype=np.uint32))


class Node:
    """A store with its bell."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = Database(f"sqlite:///{path}")
        self.database.create(
            courier_tables.metadata, delivery_tables.metadata, hq_tables.metadata, province_tables.metadata
        )
        self.bell = Bell()
        self.directory = path.with_suffix("")
        self.directory.mkdir(exist_ok=True)

    def fence(self, name: str) -> Fence:
        """As the node's wiring makes it."""
        clock = SystemClock()
        if name == HQ_NODE:
            return Fence(self.database, clock, name, HqOutlet(clock), self.directory, sessions.close_all)
        return Fence(self.database, clock, name, ProvinceOutlet(clock), self.directory, link.begin_incarnation)

    def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        with self.database.transaction() as connection:
            return work(connection, *arguments)


class World:
    """HQ at a fixed port, started and stopped at will; provinces 45 and 13 likewise."""

    def __init__(self, directory: Path, pace: Pace) -> None:
        now = datetime.now(UTC)
        self.authority = tls.new_authority(now)
        self.now = now
        self.pace = pace
        self.hq = Node(directory / "hq.db")
        self.provinces = {code: Node(directory / f"{code}.db") for code in CODES}
        for code in CODES:
            self.hq.do(provinces.enroll, code, NOW)
        self.hq.do(vault.put_subscribers, np.arange(1, 11), np.arange(8613800000001, 8613800000011), 45)
        self.port = 0
        self._server: grpc.aio.Server | None = None
        self._federation: Federation | None = None
        self._clients: dict[str, asyncio.Task[None]] = {}

    async def start_hq(self) -> None:
        credentials = tls.server_credentials(self.authority.certificate, self.certified(tls.HQ))
        self._server, self.port = build_server(f"127.0.0.1:{self.port}", credentials, ACCESS)
        fence = self.hq.fence(HQ_NODE)
        await fence.wake()
        self._federation = Federation(self.hq.database, SystemClock(), self.hq.bell, fence, self.pace)
        self._federation.register(self._server)
        await self._server.start()

    async def stop_hq(self) -> None:
        assert self._server is not None
        assert self._federation is not None
        self._federation.drain()
        await self._server.stop(0.2)

    def start_province(self, code: str) -> HqClient:
        node = self.provinces[code]
        client = HqClient(
            node.database,
            SystemClock(),
            node.bell,
            Inbox(CHANNELS),
            code,
            f"127.0.0.1:{self.port}",
            self.credentials(tls.Identity("province", code)),
            "test",
            node.fence(code),
        )
        self._clients[code] = asyncio.create_task(client.run())
        return client

    async def stop_province(self, code: str) -> None:
        client = self._clients.pop(code)
        client.cancel()
        with suppress(asyncio.CancelledError):
            await client

    def certified(self, who: tls.Identity) -> tls.Pem:
        return tls.issue(self.authority, who, self.now)

    def credentials(self, who: tls.Identity) -> grpc.ChannelCredentials:
        return tls.channel_credentials(self.authority.certificate, self.certified(who))

    def dial(self, who: tls.Identity) -> grpc.aio.Channel:
        return build_channel(f"127.0.0.1:{self.port}", self.credentials(who))

    def issue(self, order: WorkOrder, *blocks: TaskBlock) -> None:
        """What HQ's planner does, and the ring after its commit."""

        def put(connection: Any) -> None:
            ledger.put_work_order(connection, order)
            for each in blocks:
                ledger.insert_block(connection, each)
            feed.put(connection, order.node, [order, *blocks], NOW)

        self.hq.do(put)
        self.hq.bell.ring(order.node, "work_orders")

    def tell(self, code: str, stream: str, work: Callable[..., Any], *arguments: Any) -> None:
        """Something happens in a province that HQ must learn."""
        self.provinces[code].do(work, *arguments, NOW)
        self.provinces[code].bell.ring("hq", stream)

    async def close(self) -> None:
        for code in list(self._clients):
            await self.stop_province(code)
        await self.stop_hq()
        for node in (self.hq, *self.provinces.values()):
            node.database.close()


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that will come true."""
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - what it waits for is in a database
            await asyncio.sleep(0.02)


Begin = Callable[..., Any]
