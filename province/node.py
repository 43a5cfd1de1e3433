"""A province node's wiring: the one file that knows which adapter serves which port."""

from __future__ import annotations

import logging
from functools import partial
from importlib.metadata import version

from liandong.channel.v1 import channel_pb2_grpc
from liandong.event.v1 import event_pb2_grpc

from adapters.bss.grpc_feed import GrpcBss
from adapters.channels.vendor_grpc import ChannelCallbacks, VendorGrpc
from adapters.streams import journal
from adapters.streams.grpc_push import EventPush
from adapters.warehouse.snapshots import Snapshots
from common.courier.bell import Bell
from common.delivery.claim import Contacts
from common.delivery.desk import ReportDesk
from common.delivery.fence import Fence
from common.delivery.runner import Runner
from common.kernel.channel import CHANNELS, Level
from common.kernel.policy import Policy
from common.kernel.subscriber import subscriber_keys
from common.runtime.clock import Clock, guarded_clock, trusted
from common.runtime.database import Database
from common.runtime.lifetime import sole_instance, steady, until_told
from common.wire import health, tls
from common.wire.server import build_channel, build_server
from common.wire.streams import OUTBOX_STREAMS, TOPICS
from province import bss_sync, link, policies, trigger_documents
from province.coordinator import Coordinator
from province.erasing import Eraser
from province.inbox import Inbox
from province.rpc.hq_client import INBOX, HqClient
from province.settings import ProvinceSettings
from province.triggers.pruning import prune_for_ever
from province.uplink import HqOutlet

STOP_SECONDS = 3.0
ACCESS = health.ACCESS | {
    "/liandong.channel.v1.ChannelCallbackService/": frozenset({"vendor"}),
    "/liandong.event.v1.EventService/": frozenset({"bss", "province"}),
}
WAKE_SECONDS = 1.0

log = logging.getLogger(__name__)


async def run(settings: ProvinceSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with sole_instance(settings.data_dir):
        await _serve(settings)


async def _serve(settings: ProvinceSettings) -> None:
    database, bell = Database(settings.url("province")), Bell()
    clock = guarded_clock(settings.data_dir, settings.clock_file)
    authority, key = tls.read_pem(settings.tls.authority), settings.federation_key()
    own = tls.read(settings.tls.certificate, settings.tls.key)
    outward = tls.channel_credentials(authority, own)

    channels = {name: channel for name, channel in CHANNELS.items() if channel.level is Level.TWO}
    lines = {v.channel: build_channel(v.address, outward, tls.Identity("vendor", v.name)) for v in settings.vendors}
    ports = {name: VendorGrpc(line, name, clock) for name, line in lines.items()}

    def wake_pushers() -> None:
        for stream in OUTBOX_STREAMS:
            bell.ring("hq", stream)

    outlet = HqOutlet(clock)
    desk = ReportDesk(database, clock, outlet, lambda numbers: subscriber_keys(key, numbers), wake_pushers)
    server, _ = build_server(settings.listen, tls.server_credentials(authority, own), ACCESS)
    healthy = health.Health(server, database.answers)
    vendors = {v.channel: v.name for v in settings.vendors}
    callbacks = ChannelCallbacks(vendors, desk.take_receipts, desk.take_replies)
    channel_pb2_grpc.add_ChannelCallbackServiceServicer_to_server(callbacks, server)  # type: ignore[no-untyped-call]
    push = _event_push(settings)
    if push is not None:
        event_pb2_grpc.add_EventServiceServicer_to_server(push, server)  # type: ignore[no-untyped-call]

    await database.write(policies.judge_again, clock.now())
    await database.write(trigger_documents.judge_again, clock.now())
    inbox = Inbox({name: channels[name] for name in ports}, partial(trusted, clock))
    fence = restore_fence(settings, database, clock)
    hq = HqClient(
        database, clock, bell, inbox, settings.code, settings.hq_address, outward, version("liandong"), fence,
        takeover=True, hear_time=clock.hear,
    )  # fmt: skip

    def may_contact(policy: Policy) -> Contacts:
        fresh = policy.stop_freshness_seconds
        return Contacts.NOBODY if fence.closed else hq.may_contact(min(fresh, settings.stop_freshness_seconds or fresh))

    runner = Runner(database, clock, channels, ports, outlet, settings.code, wake_pushers, may_contact, fence)
    jobs = [steady(hq.run), steady(fence.watch), clock.watch(), database.watch()]

    def wake_all() -> None:
        runner.wake()
        wake_pushers()

    coordinator = Coordinator(
        database, clock, settings.code, outlet, wake_all, hq.acquire, lambda: not fence.closed, link.knows_hq
    )
    steadily = [partial(steady, job) for job in (runner.run, desk.run, coordinator.run, coordinator.run_asking)]
    jobs += [clock.confirmed(partial(fence.dated, job)) for job in steadily]
    jobs.append(steady(partial(prune_for_ever, database, clock)))
    jobs.append(steady(Eraser(database, Snapshots(settings.people_directory)).run))
    jobs += [_wake_runner(runner, bell, topic) for topic in TOPICS]
    if push is not None:
        jobs.append(push.sweep())
    if settings.bss:
        bss = GrpcBss(build_channel(settings.bss.address, outward, tls.Identity("bss", settings.bss.name)))
        source = settings.bss.source_system
        jobs.append(steady(bss_sync.order_follower(database, clock, bell, bss, source, key).run))
        jobs.append(steady(bss_sync.pool_follower(database, clock, bell, bss, source, key, int(settings.code)).run))
    await fence.wake()
    await server.start()
    log.info("province %s reports to %s", settings.code, settings.hq_address)
    try:
        await until_told(*jobs)
    finally:
        healthy.stop()
        await server.stop(STOP_SECONDS)
        if push is not None:
            push.close()
        database.write_busy_seconds(settings.data_dir / "busy_seconds.json")
        database.close()


def _event_push(settings: ProvinceSettings) -> EventPush | None:
    """Where events come by Kafka, nobody pushes any."""
    told = settings.triggers
    if told is None or told.source != "journal":
        return None
    writer = journal.Writer(settings.event_directory, told.partitions, told.keep_bytes, float(told.keep_seconds))
    names = told.pushers or ((settings.bss.name,) if settings.bss else ())
    own = tls.Identity("province", settings.code)  # for its forecast, which is another process
    return EventPush(writer, {own, *(tls.Identity("bss", name) for name in names)})


def restore_fence(settings: ProvinceSettings, database: Database, clock: Clock) -> Fence:
    outlet = HqOutlet(clock)
    return Fence(database, clock, settings.code, outlet, settings.data_dir, link.begin_incarnation, dated=True)


async def begin_anew(settings: ProvinceSettings) -> int:
    """Begin a new incarnation, as after a restore that nothing here can show; answers its number."""
    with sole_instance(settings.data_dir):
        database, clock = Database(settings.url("province")), guarded_clock(settings.data_dir, settings.clock_file)
        begun = await restore_fence(settings, database, clock).fall()
        database.close()
    return begun.number


async def _wake_runner(runner: Runner, bell: Bell, topic: str) -> None:
    while True:
        heard = bell.heard(INBOX, topic)
        await bell.wait(INBOX, topic, heard, WAKE_SECONDS)
        if bell.heard(INBOX, topic) != heard:
            runner.ring()
