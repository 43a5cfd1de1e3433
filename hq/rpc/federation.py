"""HQ's end of the federation contract. The province is always the one that the certificate names."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from liandong.federation.v1 import (
    feed_pb2,
    feed_pb2_grpc,
    grant_pb2,
    grant_pb2_grpc,
    link_pb2,
    link_pb2_grpc,
    uplink_pb2,
    uplink_pb2_grpc,
)
from sqlalchemy import Connection

from common.courier.bell import Bell
from common.courier.cursor import Place
from common.courier.log import Entry, LogPosition
from common.courier.standing import Standing, Written
from common.delivery.fence import Fence
from common.kernel.columns import Codes
from common.kernel.grant import GrantRequest
from common.kernel.incarnation import HEARSAY_MAX, WentBack
from common.kernel.refusal import Fault, Refusal, invalid
from common.kernel.task_block import BLOCK_ROWS
from common.runtime.clock import Clock, trusted
from common.runtime.database import Database
from common.wire import codec, versions
from common.wire.columns import MESSAGE_BYTES_MAX, malformed
from common.wire.grant_codec import read_grant_request
from common.wire.server import Context, caller
from common.wire.streams import CONTROL_LANE, OUTBOX_STREAMS, TOPICS, outbox_name, topic_name
from hq import link
from hq.link import Opened, Pushed
from hq.store import feed, sessions
from hq.store.sessions import INSTANCE_ID_CHARS_MAX, LEAP_MAX, Session

T = TypeVar("T")

_log = logging.getLogger(__name__)

ACCESS = {
    f"/liandong.federation.v1.{service}/": frozenset({"province"})
    for service in ("LinkService", "FeedService", "UplinkService", "GrantService")
}
"""Who may call what is registered here."""
APPEND_ENTRIES_MAX = 1_000
EPOCH_MAX = 1 << 48
PLACE_MAX = (1 << 63) - 1
"""Stores keep no larger number, and an epoch must leave room to rise above it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds."""

    lease: int = 15
    watch_max: float = 3_600.0
    progress: float = 15.0
    poll: float = 1.0
    """How long an entry that another process appended may go unnoticed."""
    unacknowledged_entries_max: int = 128


class Federation:
    """What the services share. `drain` ends open watches cleanly and refuses new calls.

    `hear_time` is told what time provinces say it is.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bell: Bell,
        fence: Fence,
        pace: Pace | None = None,
        hear_time: Callable[[int], object] = lambda _seconds: None,
    ) -> None:
        self.database = database
        self.clock = clock
        self.bell = bell
        self.fence = fence
        self.pace = pace or Pace()
        self.hear_time = hear_time
        self.draining = False

    def register(self, server: grpc.aio.Server) -> None:
        link_pb2_grpc.add_LinkServiceServicer_to_server(LinkService(self), server)  # type: ignore[no-untyped-call]
        feed_pb2_grpc.add_FeedServiceServicer_to_server(FeedService(self), server)  # type: ignore[no-untyped-call]
        uplink_pb2_grpc.add_UplinkServiceServicer_to_server(UplinkService(self), server)  # type: ignore[no-untyped-call]
        grant_pb2_grpc.add_GrantServiceServicer_to_server(GrantService(self), server)  # type: ignore[no-untyped-call]

    def drain(self) -> None:
        self.draining = True

    async def write(self, work: Callable[..., T], *arguments: Any, ahead: bool = False) -> T:
        self._check_open()
        return await self.database.write(work, *arguments, ahead=ahead)

    async def read(self, work: Callable[..., T], *arguments: Any) -> T:
        self._check_open()
        return await self.database.read(work, *arguments)

    def _check_open(self) -> None:
        if self.draining:
            raise Refusal(Fault.DRAINING, "DRAINING", "HQ is stopping; call again in a moment", retry_seconds=1.0)


class LinkService(link_pb2_grpc.LinkServiceServicer):
    def __init__(self, federation: Federation) -> None:
        self._of = federation

    async def OpenSession(self, request: link_pb2.OpenSessionRequest, context: Context) -> link_pb2.OpenSessionResponse:
        del context
        if not 0 < len(request.instance_id) <= INSTANCE_ID_CHARS_MAX:
            raise invalid(f"instance_id must have 1 to {INSTANCE_ID_CHARS_MAX} characters")
        revision = versions.agreed_revision(request.min_contract_revision, request.max_contract_revision)
        now = self._of.clock.now()
        ask = Session(caller().name, request.instance_id, 0, now + self._of.pace.lease, revision)
        off = self._clock_off(request, now)
        try:
            opened = await self._of.write(_open, ask, request, now, off)
        except WentBack as gone:
            _log.error("%s: HQ came back from a backup", gone)
            # Not to be left half done where the caller gives up: until it is done HQ contacts nobody.
            await asyncio.shield(self._of.fence.fall(gone.number, gone.above))
            opened = await self._of.write(_open, ask, request, now, off)
        return _opened(opened, request, now, self._of.pace)

    async def RenewSession(
        self, request: link_pb2.RenewSessionRequest, context: Context
    ) -> link_pb2.RenewSessionResponse:
        del context
        now, lease = self._of.clock.now(), self._of.pace.lease
        off = self._clock_off(request, now)
        await self._of.write(link.renew_session, caller().name, request.fence, now + lease, off)
        return link_pb2.RenewSessionResponse(lease_duration=Duration(seconds=lease), server_time=Timestamp(seconds=now))

    async def CloseSession(
        self, request: link_pb2.CloseSessionRequest, context: Context
    ) -> link_pb2.CloseSessionResponse:
        del context
        await self._of.write(sessions.close, caller().name, request.fence)
        return link_pb2.CloseSessionResponse()

    def _clock_off(self, request: link_pb2.OpenSessionRequest | link_pb2.RenewSessionRequest, now: int) -> int:
        """How far the caller's clock is ahead, by what it says; the way here takes part of it."""
        if not request.HasField("client_time"):
            return 0
        self._of.hear_time(request.client_time.seconds)
        return request.client_time.seconds - now


class FeedService(feed_pb2_grpc.FeedServiceServicer):
    def __init__(self, federation: Federation) -> None:
        self._of = federation

    async def WatchFeed(
        self, request: feed_pb2.WatchFeedRequest, context: Context
    ) -> AsyncIterator[feed_pb2.WatchFeedResponse]:
        del context
        watch = Watch(self._of, caller().name, topic_name(request.topic), request)
        async for response in watch.responses():
            yield response

    async def CommitFeed(self, request: feed_pb2.CommitFeedRequest, context: Context) -> feed_pb2.CommitFeedResponse:
        del context
        province, topic = caller().name, topic_name(request.topic)
        place = _place(request.epoch, request.through_cursor, request.chain)
        ahead = topic in CONTROL_LANE
        committed = await self._of.write(link.commit, province, topic, request.fence, place, ahead=ahead)
        self._of.bell.ring(province, topic)
        return feed_pb2.CommitFeedResponse(committed_cursor=committed)


class Watch:
    """One reader of one topic, from its place on."""

    def __init__(self, of: Federation, province: str, topic: str, request: feed_pb2.WatchFeedRequest) -> None:
        self._of = of
        self._province = province
        self._topic = topic
        self._fence = request.fence
        self._place = _place(request.epoch, request.after_cursor, request.chain)
        asked = request.max_duration.ToNanoseconds() / 1e9
        self._until = of.clock.monotonic() + min(asked or of.pace.watch_max, of.pace.watch_max)
        self._spoke_at = float("-inf")
        self._told_all = False
        """The reader was told that it knows everything, and that still holds."""

    async def responses(self) -> AsyncIterator[feed_pb2.WatchFeedResponse]:
        while not self._of.draining and self._of.clock.monotonic() < self._until:
            heard = self._of.bell.heard(self._province, self._topic)
            window = self._of.pace.unacknowledged_entries_max
            step = await self._of.read(link.look, self._province, self._topic, self._fence, self._place, window)
            if step is None:
                async for response in self._reset():
                    yield response
            elif isinstance(step, int):
                if self._has_news(step) or self._quiet_seconds() >= self._of.pace.progress:
                    self._told_all = step == self._place.sequence
                    yield self._spoken(feed_pb2.WatchFeedResponse(progress=self._progress(step)))
                await self._of.bell.wait(self._province, self._topic, heard, self._patience())
            else:
                self._place = Place(self._place.epoch, step[-1].sequence, step[-1].chain)
                self._told_all = False
                await self._kept()
                yield self._spoken(_batch(step))

    async def _reset(self) -> AsyncIterator[feed_pb2.WatchFeedResponse]:
        self._told_all = False
        self._place, pieces = await self._of.write(link.reset, self._province, self._topic, self._fence, self._place)
        reset = feed_pb2.FeedReset(
            epoch=self._place.epoch,
            snapshot_cursor=self._place.sequence,
            snapshot_entries=len(pieces),
            chain=self._place.chain,
        )
        yield self._spoken(feed_pb2.WatchFeedResponse(reset=reset))
        for piece in pieces:
            payload = await self._of.read(link.payload, piece)
            await self._kept()
            yield self._spoken(_batch([Entry(0, payload, 0)]))

    async def _kept(self) -> None:
        """What HQ leases it must not forget: nothing of it is told before the mark is beside the store."""
        if not await self._of.fence.keep(await self._of.read(self._of.fence.check)):
            raise Refusal(Fault.DRAINING, "DRAINING", "HQ begins anew; watch again", retry_seconds=1.0)

    def _has_news(self, head: int) -> bool:
        """The reader knows everything now, and was not told so yet."""
        return head == self._place.sequence and not self._told_all

    def _progress(self, head: int) -> feed_pb2.FeedProgress:
        return feed_pb2.FeedProgress(head_cursor=head, server_time=Timestamp(seconds=self._of.clock.now()))

    def _spoken(self, response: feed_pb2.WatchFeedResponse) -> feed_pb2.WatchFeedResponse:
        self._spoke_at = self._of.clock.monotonic()
        return response

    def _quiet_seconds(self) -> float:
        return self._of.clock.monotonic() - self._spoke_at

    def _patience(self) -> float:
        now = self._of.clock.monotonic()
        return max(0.0, min(self._of.pace.poll, self._until - now, self._of.pace.progress - self._quiet_seconds()))


class UplinkService(uplink_pb2_grpc.UplinkServiceServicer):
    def __init__(self, federation: Federation) -> None:
        self._of = federation

    async def Append(self, request: uplink_pb2.AppendRequest, context: Context) -> uplink_pb2.AppendResponse:
        del context
        stream = outbox_name(request.stream)
        _check_sequence(request)
        values = await asyncio.to_thread(_read_entries, request, stream, caller().name)
        last = request.entries[-1]
        pushed = Pushed(request.fence, request.entries[0].sequence, _place(request.epoch, last.sequence, last.chain))
        place, told = await self._of.write(
            link.append, caller().name, stream, pushed, values, self._of.clock.now(), trusted(self._of.clock),
            ahead=stream in CONTROL_LANE,
        )  # fmt: skip
        for province in told:
            self._of.bell.ring(province, feed.CONTROL)
        return uplink_pb2.AppendResponse(epoch=place.epoch, committed_sequence=place.sequence, chain=place.chain)


class GrantService(grant_pb2_grpc.GrantServiceServicer):
    def __init__(self, federation: Federation) -> None:
        self._of = federation

    async def AcquireGrants(
        self, request: grant_pb2.AcquireGrantsRequest, context: Context
    ) -> grant_pb2.AcquireGrantsResponse:
        del context
        province, asked = caller().name, read_grant_request(request)
        name, reasons = await self._of.write(self._acquire, province, request.fence, asked)
        self._of.bell.ring(province, feed.WORK_ORDERS)
        return grant_pb2.AcquireGrantsResponse(work_order=name, reasons=reasons.tolist())

    def _acquire(self, connection: Connection, province: str, fence: int, asked: GrantRequest) -> tuple[str, Codes]:
        self._of.fence.check(connection)
        return link.acquire(connection, province, fence, asked, self._of.clock.now())


def _open(connection: Connection, ask: Session, request: link_pb2.OpenSessionRequest, now: int, off: int) -> Opened:
    standing = _standing(request) if request.incarnation else None
    return link.open_session(
        connection, ask, request.build_version, now,
        leap=secrets.randbelow(LEAP_MAX), takeover=request.takeover, standing=standing, clock_off_seconds=off,
    )  # fmt: skip


def _standing(request: link_pb2.OpenSessionRequest) -> Standing:
    if request.incarnation > HEARSAY_MAX:
        raise invalid(f"no incarnation is above {HEARSAY_MAX}")
    return Standing(
        request.incarnation,
        request.hq_incarnation,
        {topic_name(at.topic): _place(at.epoch, at.cursor, at.chain) for at in request.feed_places},
        {
            outbox_name(at.stream): Written(_place(at.epoch, at.sequence, at.chain), at.acknowledged)
            for at in request.outbox_positions
        },
    )


def _place(epoch: int, sequence: int, chain: int) -> Place:
    if epoch > EPOCH_MAX or max(sequence, chain) > PLACE_MAX:
        raise invalid("no log has such a place; open the session again and go on from what it says")
    return Place(epoch, sequence, chain)


def _opened(opened: Opened, request: link_pb2.OpenSessionRequest, now: int, pace: Pace) -> link_pb2.OpenSessionResponse:
    return link_pb2.OpenSessionResponse(
        fence=opened.session.fence,
        lease_duration=Duration(seconds=pace.lease),
        contract_revision=opened.session.contract_revision,
        capabilities=versions.agreed_capabilities(request.capabilities),
        limits=_limits(pace),
        feed_positions=[_feed_position(topic, at) for topic, at in opened.feed.items()],
        committed_positions=[_outbox_position(stream, place) for stream, place in opened.outbox.items()],
        server_time=Timestamp(seconds=now),
        incarnation=opened.incarnation,
    )


def _limits(pace: Pace) -> link_pb2.Limits:
    watch, progress = Duration(), Duration()
    watch.FromNanoseconds(int(pace.watch_max * 1e9))
    progress.FromNanoseconds(int(pace.progress * 1e9))
    return link_pb2.Limits(
        block_rows_max=BLOCK_ROWS,
        message_bytes_max=MESSAGE_BYTES_MAX,
        watch_duration_max=watch,
        progress_interval=progress,
        unacknowledged_entries_max=pace.unacknowledged_entries_max,
    )


def _feed_position(topic: str, at: LogPosition) -> link_pb2.FeedPosition:
    return link_pb2.FeedPosition(
        topic=TOPICS[topic],
        epoch=at.epoch,
        oldest_cursor=at.oldest,
        head_cursor=at.head,
        committed_cursor=at.committed,
    )


def _outbox_position(stream: str, place: Place) -> link_pb2.OutboxPosition:
    return link_pb2.OutboxPosition(
        stream=OUTBOX_STREAMS[stream], epoch=place.epoch, sequence=place.sequence, chain=place.chain
    )


def _batch(entries: Sequence[Entry]) -> feed_pb2.WatchFeedResponse:
    response = feed_pb2.WatchFeedResponse()
    for entry in entries:
        message = response.batch.entries.add()
        message.MergeFromString(entry.payload)
        message.cursor = entry.sequence
        message.chain = entry.chain
    return response


PAYLOADS = {
    "control": ("stops", "work_order_event", "consents", "erasures", "policy_event", "trigger_event"),
    "results": ("results", "work_order", "task_block", "retold", "decision", "policy_event"),
    "orders": ("orders",),
    "pool": ("pool",),
}


def _check_sequence(request: uplink_pb2.AppendRequest) -> None:
    numbers = [entry.sequence for entry in request.entries]
    if not 0 < len(numbers) <= APPEND_ENTRIES_MAX:
        raise invalid(f"{len(numbers)} entries; 1 to {APPEND_ENTRIES_MAX} are taken in one call")
    if numbers != list(range(max(numbers[0], 1), numbers[0] + len(numbers))):
        raise malformed("append", "sequences that do not rise by one from 1 or more")


def _read_entries(request: uplink_pb2.AppendRequest, stream: str, province: str) -> list[codec.Outgoing]:
    for entry in request.entries:
        if entry.WhichOneof("payload") not in PAYLOADS[stream]:
            raise malformed(f"entry {entry.sequence}", f"a payload that does not belong on stream {stream}")
    return [codec.read_outbox_entry(entry, province) for entry in request.entries]
