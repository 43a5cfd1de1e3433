"""A node that only delivers, as a process: `python node_process.py SPEC.json`."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import time
from functools import partial
from pathlib import Path
from typing import Any

from liandong.channel.v1 import channel_pb2_grpc
from sqlalchemy import Connection

from adapters.channels.vendor_grpc import ChannelCallbacks, VendorGrpc
from common.delivery.desk import ReportDesk
from common.delivery.runner import Runner
from common.kernel.channel import Channel, ChannelClass, Level
from common.kernel.columns import Rows
from common.kernel.decision import Decision
from common.kernel.stop import Stops
from common.kernel.subscriber import subscriber_keys
from common.kernel.task_block import TaskBlock
from common.kernel.work_order import WorkOrder
from common.runtime.clock import SystemClock
from common.runtime.database import Database
from common.wire import tls
from common.wire.server import build_channel, build_server

ACCESS = {"/liandong.channel.v1.ChannelCallbackService/": frozenset({"vendor"})}


class Nowhere:
    def decided(self, connection: Connection, decision: Decision) -> None: ...
    def settled(self, connection: Connection, block: TaskBlock, rows: Rows) -> None: ...
    def stopped(self, connection: Connection, stops: Stops) -> None: ...
    def finished(self, connection: Connection, work_order: WorkOrder) -> None: ...


async def main(spec: dict[str, Any]) -> None:
    channels = {
        name: Channel(name, name, name, Level.ONE, ChannelClass.MESSAGE, 200_000, 5, time(0), time(0))
        for name in spec["channels"]
    }
    certificates = Path(spec["certificates"])
    authority = (certificates / "authority.crt").read_bytes()
    own = tls.read(certificates / "hq.crt", certificates / "hq.key")
    database, clock, outlet = Database(spec["database_url"]), SystemClock(), Nowhere()
    desk = ReportDesk(database, clock, outlet, partial(subscriber_keys, b"k" * 32), lambda: None)
    server, _ = build_server(spec["listen"], tls.server_credentials(authority, own), ACCESS)
    vendors = dict.fromkeys(channels, "simulator")
    callbacks = ChannelCallbacks(vendors, desk.take_receipts, desk.take_replies)
    channel_pb2_grpc.add_ChannelCallbackServiceServicer_to_server(callbacks, server)
    await server.start()
    credentials, vendor = tls.channel_credentials(authority, own), tls.Identity("vendor", "simulator")
    async with build_channel(spec["vendor"], credentials, vendor) as connection:
        ports = {name: VendorGrpc(connection, name, clock) for name in channels}
        runner = Runner(database, clock, channels, ports, outlet, "hq", lambda: None)
        async with asyncio.TaskGroup() as group:
            group.create_task(desk.run())
            group.create_task(runner.run())


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
