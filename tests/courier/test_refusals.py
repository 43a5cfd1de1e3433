"""What HQ refuses over real gRPC: each with its reason, and with nothing applied."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import grpc.aio
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from liandong.federation.v1 import feed_pb2, feed_pb2_grpc, link_pb2, link_pb2_grpc, uplink_pb2, uplink_pb2_grpc
from liandong.types.v1 import order_pb2

from common.courier import cursor
from common.courier.cursor import NOWHERE
from common.delivery import ledger
from common.kernel.result import Results
from common.kernel.task import TaskState
from common.wire import codec, faults, tls
from common.wire.server import build_channel
from hq.rpc.federation import Pace
from tests.courier.world import Begin, World, block, work_order

GUANGXI, HEBEI = tls.Identity("province", "45"), tls.Identity("province", "13")
SECONDS = 5.0


async def reason_of(call: Awaitable[Any]) -> str:
    """Why `call` was refused."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        refusal = faults.of_error(error)
        return refusal.reason if refusal else error.code().name
    return "answered"


async def opened(channel: grpc.aio.Channel, instance: str = "one", **more: Any) -> link_pb2.OpenSessionResponse:
    fields: dict[str, Any] = {"min_contract_revision": 1, "max_contract_revision": 1} | more
    request = link_pb2.OpenSessionRequest(instance_id=instance, build_version="test", **fields)
    return await link_pb2_grpc.LinkServiceStub(channel).OpenSession(request, timeout=SECONDS)


def append(channel: grpc.aio.Channel, fence: int, *entries: uplink_pb2.OutboxEntry, **more: Any) -> Awaitable[Any]:
    fields: dict[str, Any] = {"stream": uplink_pb2.OUTBOX_STREAM_RESULTS, "epoch": 1} | more
    request = uplink_pb2.AppendRequest(fence=fence, entries=entries, **fields)
    return uplink_pb2_grpc.UplinkServiceStub(channel).Append(request, timeout=SECONDS)


def delivered(name: str, tasks: int, sequence: int = 1, first: int = 0) -> uplink_pb2.OutboxEntry:
    results = Results(
        work_order=name,
        tasks=np.arange(first, first + tasks),
        states=np.full(tasks, TaskState.DELIVERED, dtype=np.uint8),
        reasons=np.zeros(tasks, dtype=np.uint8),
        responses=np.zeros(tasks, dtype=np.uint8),
        submitted_at=np.ones(tasks, dtype=np.uint32),
        settled_at=np.ones(tasks, dtype=np.uint32),
    )
    entry = uplink_pb2.OutboxEntry.FromString(codec.outbox_entry(results))
    entry.sequence = sequence
    return entry


def nothing_applied(w: World, code: str, name: str) -> bool:
    open_tasks = w.hq.do(ledger.counts, name)[TaskState.OPEN]
    return bool(w.hq.do(cursor.load, code, "results") == NOWHERE and open_tasks == 10)


Broken = Callable[[uplink_pb2.OutboxEntry], None]


def _shorter(entry: uplink_pb2.OutboxEntry) -> None:
    entry.results.states.pop()


def _unknown_code(entry: uplink_pb2.OutboxEntry) -> None:
    entry.results.states[0] = 99  # type: ignore[call-overload]


def _not_rising(entry: uplink_pb2.OutboxEntry) -> None:
    entry.results.task_deltas[3] = 0


def _empty(entry: uplink_pb2.OutboxEntry) -> None:
    entry.results.Clear()
    entry.results.work_order = "spring"


def _nameless(entry: uplink_pb2.OutboxEntry) -> None:
    entry.results.work_order = ""


def _nothing(entry: uplink_pb2.OutboxEntry) -> None:
    entry.ClearField("results")


def _elsewhere(entry: uplink_pb2.OutboxEntry) -> None:
    entry.orders.CopyFrom(order_pb2.OrderBlock())


@pytest.mark.parametrize("broken", [_shorter, _unknown_code, _not_rising, _empty, _nameless, _nothing, _elsewhere])
def test_a_malformed_block_is_refused_with_everything_beside_it(world: Begin, broken: Broken) -> None:
    async def story() -> None:
        async with world() as w, w.dial(GUANGXI) as channel:
            order = work_order("45", 10)
            w.issue(order, block(order, 0, 10))
            fence = (await opened(channel)).fence
            bad = delivered(order.name, 5, sequence=2)
            broken(bad)
            assert await reason_of(append(channel, fence, delivered(order.name, 5), bad)) == "BLOCK_MALFORMED"
            assert nothing_applied(w, "45", order.name)

    asyncio.run(story())


def test_a_province_cannot_report_on_anothers_work_order(world: Begin) -> None:
    async def story() -> None:
        async with world() as w, w.dial(HEBEI) as channel:
            order, own = work_order("45", 10), work_order("13", 10)
            for each in (order, own):
                w.issue(each, block(each, 0, 10))
            fence = (await opened(channel)).fence
            entries = delivered(own.name, 5), delivered(order.name, 5, sequence=2)
            assert await reason_of(append(channel, fence, *entries)) == "NOT_YOURS"
            assert await reason_of(append(channel, fence, delivered("no/such/order", 5))) == "NOT_YOURS"
            assert await reason_of(append(channel, fence, delivered(own.name, 11))) == "NOT_YOURS"
            assert await reason_of(append(channel, fence, delivered(own.name, 1, first=90_000))) == "NOT_YOURS"
            assert nothing_applied(w, "13", order.name)
            assert nothing_applied(w, "13", own.name)

    asyncio.run(story())


def test_a_province_reads_its_own_feed_and_no_other(world: Begin) -> None:
    async def story() -> None:
        async with world() as w, w.dial(HEBEI) as channel:
            order = work_order("45", 10)
            w.issue(order, block(order, 0, 10))
            fence = (await opened(channel)).fence
            request = feed_pb2.WatchFeedRequest(
                fence=fence, topic=feed_pb2.TOPIC_WORK_ORDERS, max_duration=Duration(nanos=300_000_000)
            )
            stub = feed_pb2_grpc.FeedServiceStub(channel)
            heard = [response async for response in stub.WatchFeed(request, timeout=SECONDS)]
            assert heard[0].HasField("reset")
            assert not any(response.HasField("batch") for response in heard)

    asyncio.run(story())


def test_repeats_change_nothing_and_a_gap_names_what_is_expected(world: Begin) -> None:
    async def story() -> None:
        async with world() as w, w.dial(GUANGXI) as channel:
            order = work_order("45", 10)
            w.issue(order, block(order, 0, 10))
            fence = (await opened(channel)).fence
            first, second = delivered(order.name, 5), delivered(order.name, 5, sequence=2, first=5)
            for _ in range(2):
                assert (await append(channel, fence, first)).committed_sequence == 1
            with pytest.raises(grpc.aio.AioRpcError) as gap:
                await append(channel, fence, delivered(order.name, 5, sequence=3))
            refusal = faults.of_error(gap.value)
            assert refusal is not None
            assert (refusal.reason, refusal.metadata) == ("SEQUENCE_GAP", {"expected": "2"})
            assert (await append(channel, fence, first, second)).committed_sequence == 2
            assert w.hq.do(ledger.counts, order.name)[TaskState.DELIVERED] == 10
            assert (await append(channel, fence, first, epoch=2)).epoch == 2
            assert await reason_of(append(channel, fence, first)) == "EPOCH_STALE"

    asyncio.run(story())


def test_a_superseded_session_is_refused_on_every_call(world: Begin) -> None:
    async def story() -> None:
        async with world() as w, w.dial(GUANGXI) as channel:
            link, feed = link_pb2_grpc.LinkServiceStub(channel), feed_pb2_grpc.FeedServiceStub(channel)
            old = (await opened(channel)).fence
            assert await reason_of(opened(channel, "two")) == "SESSION_HELD"
            assert (await opened(channel, "two", takeover=True)).fence > old
            topic = feed_pb2.TOPIC_CONTROL
            watch = feed.WatchFeed(feed_pb2.WatchFeedRequest(fence=old, topic=topic), timeout=SECONDS)
            for call in (
                link.RenewSession(link_pb2.RenewSessionRequest(fence=old), timeout=SECONDS),
                link.CloseSession(link_pb2.CloseSessionRequest(fence=old), timeout=SECONDS),
                feed.CommitFeed(feed_pb2.CommitFeedRequest(fence=old, topic=topic), timeout=SECONDS),
                append(channel, old, delivered("spring", 1)),
                watch.read(),
            ):
                assert await reason_of(call) == "SESSION_FENCED"

    asyncio.run(story())


def test_an_open_watch_ends_when_its_session_is_taken_over(world: Begin) -> None:
    async def story() -> None:
        async with world() as w, w.dial(GUANGXI) as channel:
            request = feed_pb2.WatchFeedRequest(fence=(await opened(channel)).fence, topic=feed_pb2.TOPIC_CONTROL)
            watch = feed_pb2_grpc.FeedServiceStub(channel).WatchFeed(request, timeout=SECONDS)
            assert (await watch.read()).HasField("reset")
            await opened(channel, "two", takeover=True)

            async def to_the_end() -> None:
                while await watch.read() is not grpc.aio.EOF:
                    pass

            assert await reason_of(to_the_end()) == "SESSION_FENCED"

    asyncio.run(story())


def test_a_place_behind_compaction_is_answered_with_a_snapshot(world: Begin) -> None:
    async def story() -> None:
        async with world() as w, w.dial(GUANGXI) as channel:
            stub, order = feed_pb2_grpc.FeedServiceStub(channel), work_order("45", 20)
            w.issue(order, block(order, 0, 10), block(order, 1, 10))
            fence = (await opened(channel)).fence

            async def watch(**place: int) -> list[feed_pb2.WatchFeedResponse]:
                request = feed_pb2.WatchFeedRequest(
                    fence=fence, topic=feed_pb2.TOPIC_WORK_ORDERS, max_duration=Duration(nanos=200_000_000), **place
                )
                return [each async for each in stub.WatchFeed(request, timeout=SECONDS)]

            reset, *batches = await watch()
            assert reset.reset.snapshot_entries == 3
            assert reset.reset.snapshot_cursor == 3
            told = [entry for each in batches for entry in each.batch.entries]
            assert [entry.WhichOneof("payload") for entry in told] == ["work_order", "task_block", "task_block"]
            assert list(told[1].task_block.states) == [TaskState.OPEN] * 10
            place = {"epoch": reset.reset.epoch, "chain": reset.reset.chain}
            commit = feed_pb2.CommitFeedRequest(
                fence=fence, topic=feed_pb2.TOPIC_WORK_ORDERS, through_cursor=3, **place
            )
            assert (await stub.CommitFeed(commit, timeout=SECONDS)).committed_cursor == 3
            for gone in ({"epoch": 1, "after_cursor": 1, "chain": 5}, {"epoch": 9, "after_cursor": 3}):
                assert (await watch(**gone))[0].HasField("reset")

    asyncio.run(story())


def test_an_idle_watch_is_kept_alive_and_ends_when_asked(world: Begin) -> None:
    async def story() -> None:
        async with world(Pace(progress=0.1, poll=0.05)) as w, w.dial(GUANGXI) as channel:
            request = feed_pb2.WatchFeedRequest(
                fence=(await opened(channel)).fence, topic=feed_pb2.TOPIC_ORDERS, max_duration=Duration(seconds=1)
            )
            stub = feed_pb2_grpc.FeedServiceStub(channel)
            heard = [each.WhichOneof("event") async for each in stub.WatchFeed(request, timeout=SECONDS)]
            assert heard[0] == "reset"
            assert 4 <= heard.count("progress") <= 10

    asyncio.run(story())


def test_a_message_above_a_mebibyte_is_refused_by_size(world: Begin) -> None:
    async def story() -> None:
        async with world() as w, _unlimited(w, GUANGXI) as channel:
            fence = (await opened(channel)).fence
            entries = [delivered("spring", 10_000, sequence=n) for n in range(1, 26)]
            assert await reason_of(append(channel, fence, *entries)) == "BLOCK_TOO_LARGE"

    asyncio.run(story())


def test_a_block_of_more_than_ten_thousand_rows_is_refused(world: Begin) -> None:
    async def story() -> None:
        async with world() as w, w.dial(GUANGXI) as channel:
            entry = delivered("spring", 10_000)
            for column in ("task_deltas", "states", "reasons", "responses", "submitted_at", "settled_at"):
                getattr(entry.results, column).append(4 if column == "states" else 1)
            call = append(channel, (await opened(channel)).fence, entry)
            assert await reason_of(call) == "BLOCK_TOO_LARGE"

    asyncio.run(story())


def test_a_call_without_a_deadline_is_refused(world: Begin) -> None:
    async def story() -> None:
        async with world() as w, w.dial(GUANGXI) as channel:
            renew = link_pb2_grpc.LinkServiceStub(channel).RenewSession(link_pb2.RenewSessionRequest(fence=1))
            assert await reason_of(renew) == "DEADLINE_MISSING"

    asyncio.run(story())


def test_a_contract_nobody_speaks_is_refused(world: Begin) -> None:
    async def story() -> None:
        async with world() as w, w.dial(GUANGXI) as channel:
            newer = opened(channel, min_contract_revision=2, max_contract_revision=3)
            assert await reason_of(newer) == "REVISION_UNSUPPORTED"

    asyncio.run(story())


@pytest.mark.parametrize(
    "who", [tls.Identity("operator", "admin"), tls.Identity("vendor", "sms"), tls.HQ, tls.Identity("province", "31")]
)
def test_only_an_enrolled_province_may_open_a_session(world: Begin, who: tls.Identity) -> None:
    async def story() -> None:
        async with world() as w, w.dial(who) as channel:
            assert await reason_of(opened(channel)) == "IDENTITY_NOT_ALLOWED"

    asyncio.run(story())


def test_without_a_certificate_of_our_authority_there_is_no_connection(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            stranger = tls.new_authority(datetime.now(UTC))
            forged = tls.issue(stranger, GUANGXI, datetime.now(UTC))
            address = f"127.0.0.1:{w.port}"
            for credentials in (
                tls.channel_credentials(w.authority.certificate, forged),
                tls.channel_credentials(stranger.certificate, w.certified(GUANGXI)),
                grpc.ssl_channel_credentials(w.authority.certificate),
            ):
                async with build_channel(address, credentials) as channel:
                    assert await reason_of(opened(channel)) == "UNAVAILABLE"
            async with grpc.aio.insecure_channel(address) as channel:
                assert await reason_of(opened(channel)) == "UNAVAILABLE"

    asyncio.run(story())


def test_a_failure_inside_tells_the_caller_a_number_and_nothing_more(
    world: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with world() as w, w.dial(GUANGXI) as channel:
            with w.hq.database.transaction() as connection:
                connection.exec_driver_sql("DROP TABLE session")
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await opened(channel)
            assert failed.value.code() is grpc.StatusCode.INTERNAL
            assert "session" not in (failed.value.details() or "")
            assert "no such table" in caplog.text

    asyncio.run(story())


def _unlimited(w: World, who: tls.Identity) -> grpc.aio.Channel:
    """A client that does not keep to the limits."""
    options = [("grpc.ssl_target_name_override", "hq"), ("grpc.max_send_message_length", -1)]
    return grpc.aio.secure_channel(f"127.0.0.1:{w.port}", w.credentials(who), options=options)
