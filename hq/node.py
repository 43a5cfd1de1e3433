"""HQ's wiring: the one file that knows which adapter serves which port."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from liandong.campaign.v1 import campaign_pb2_grpc, coordination_pb2_grpc, trigger_pb2_grpc
from liandong.channel.v1 import channel_pb2_grpc
from sqlalchemy import Connection

from adapters.bss.grpc_feed import GrpcBss
from adapters.channels.vendor_grpc import ChannelCallbacks, VendorGrpc
from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from adapters.warehouse.snapshots import Snapshots
from common.courier.bell import Bell
from common.delivery.claim import Contacts
from common.delivery.desk import ReportDesk
from common.delivery.fence import Fence
from common.delivery.runner import Runner
from common.kernel.channel import CHANNELS, Level
from common.kernel.policy import Policy
from common.kernel.subscriber import subscriber_keys
from common.kernel.work_order import HQ_NODE
from common.runtime.clock import Clock, guarded_clock
from common.runtime.database import Database
from common.runtime.lifetime import sole_instance, steady, until_told
from common.wire import health, tls
from common.wire.server import build_channel, build_server
from hq import orders
from hq.audience import Warehouse
from hq.erasing import Eraser
from hq.planner import Planner
from hq.rehearsal import Rehearsal
from hq.report import Document
from hq.rpc import federation
from hq.rpc.campaign import CampaignApi
from hq.rpc.coordination import CoordinationApi
from hq.rpc.triggers import TriggerApi
from hq.settings import HqSettings
from hq.store import evaluation, policies, sessions, sources
from hq.store.feed import CONTROL, HqOutlet

STOP_SECONDS = 3.0
ACCESS = (
    federation.ACCESS
    | health.ACCESS
    | {
        "/liandong.campaign.v1.CampaignService/": frozenset({"operator"}),
        "/liandong.campaign.v1.CoordinationService/": frozenset({"operator"}),
        "/liandong.campaign.v1.TriggerService/": frozenset({"operator"}),
        "/liandong.channel.v1.ChannelCallbackService/": frozenset({"vendor"}),
    }
)

log = logging.getLogger(__name__)


async def run(settings: HqSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with sole_instance(settings.data_dir):
        await _serve(settings)


async def _serve(settings: HqSettings) -> None:
    database, bell = Database(settings.url(HQ_NODE)), Bell()
    clock = guarded_clock(settings.data_dir, settings.clock_file)
    fence = restore_fence(settings, database, clock)
    authority, key = tls.read_pem(settings.tls.authority), settings.federation_key()
    own = tls.read(settings.tls.certificate, settings.tls.key)
    outward = tls.channel_credentials(authority, own)
    people = Snapshots(settings.data_dir / "people")

    def warehouse() -> Warehouse:
        return DuckDbWarehouse.open(people)

    def report(connection: Connection, name: str) -> Document:
        return evaluation.report(connection, warehouse(), key, name, clock.now())

    server, _ = build_server(settings.listen, tls.server_credentials(authority, own), ACCESS)
    healthy = health.Health(server, database.answers)
    levels = federation.Federation(database, clock, bell, fence, hear_time=clock.hear)
    levels.register(server)
    approving = asyncio.Lock()
    campaigns = CampaignApi(database, warehouse, clock, settings.data_dir, key, bell, report, approving)
    campaign_pb2_grpc.add_CampaignServiceServicer_to_server(campaigns, server)  # type: ignore[no-untyped-call]
    eraser = Eraser(database, people, clock, settings.data_dir, bell, approving)
    rehearsal = Rehearsal(warehouse, settings.data_dir, key)
    coordination = CoordinationApi(database, warehouse, clock, key, bell, eraser, rehearsal)
    coordination_pb2_grpc.add_CoordinationServiceServicer_to_server(coordination, server)  # type: ignore[no-untyped-call]
    rules = TriggerApi(database, warehouse, clock, bell)
    trigger_pb2_grpc.add_TriggerServiceServicer_to_server(rules, server)  # type: ignore[no-untyped-call]

    channels = {name: channel for name, channel in CHANNELS.items() if channel.level is Level.ONE}
    lines = {v.channel: build_channel(v.address, outward, tls.Identity("vendor", v.name)) for v in settings.vendors}
    ports = {name: VendorGrpc(line, name, clock) for name, line in lines.items()}
    outlet, ring_stops = HqOutlet(clock), partial(bell.ring_all, CONTROL)

    def may_contact(_policy: Policy) -> Contacts:
        return Contacts.NOBODY if fence.closed else Contacts.ALL

    runner = Runner(database, clock, channels, ports, outlet, HQ_NODE, ring_stops, may_contact, fence)
    desk = ReportDesk(database, clock, outlet, lambda numbers: subscriber_keys(key, numbers), ring_stops)
    vendors = {v.channel: v.name for v in settings.vendors}
    callbacks = ChannelCallbacks(vendors, desk.take_receipts, desk.take_replies)
    channel_pb2_grpc.add_ChannelCallbackServiceServicer_to_server(callbacks, server)  # type: ignore[no-untyped-call]

    planner = Planner(database, warehouse, clock, settings.data_dir, bell, fence.check)

    async def plan() -> None:
        await database.write(policies.date, clock.now())
        await planner.run()

    steadily = [partial(steady, job) for job in (runner.run, desk.run, plan, eraser.run)]
    jobs = [clock.confirmed(partial(fence.dated, job)) for job in steadily]
    jobs += [steady(fence.watch), clock.watch(), database.watch()]
    if settings.cbss:
        line = build_channel(settings.cbss.address, outward, tls.Identity("bss", settings.cbss.name))
        source = settings.cbss.source_system
        await database.write(sources.claim, HQ_NODE, [source])
        jobs.append(steady(orders.follower(database, clock, bell, GrpcBss(line), source, key).run))
    await fence.wake()
    # Every province tells anew what it knows of HQ, before anything else passes between them.
    await database.write(sessions.close_all)
    await server.start()
    log.info("HQ serves at %s", settings.listen)
    try:
        await until_told(*jobs)
    finally:
        healthy.stop()
        levels.drain()
        bell.ring_all()
        await server.stop(STOP_SECONDS)
        database.write_busy_seconds(settings.data_dir / "busy_seconds.json")
        database.close()


def restore_fence(settings: HqSettings, database: Database, clock: Clock) -> Fence:
    return Fence(database, clock, HQ_NODE, HqOutlet(clock), settings.data_dir, sessions.close_all)


async def begin_anew(settings: HqSettings) -> int:
    """Begin a new incarnation, as after a restore that nothing here can show; answers its number."""
    with sole_instance(settings.data_dir):
        database, clock = Database(settings.url(HQ_NODE)), guarded_clock(settings.data_dir, settings.clock_file)
        begun = await restore_fence(settings, database, clock).fall()
        database.close()
    return begun.number
