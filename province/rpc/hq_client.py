"""The province's end of the federation contract: one session, a watcher for each topic, a pusher for each stream.

Everything survives cuts and restarts of either side: places are durable, and every call may be repeated.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from random import Random

import grpc.aio
import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from liandong.federation.v1 import (
    feed_pb2,
    feed_pb2_grpc,
    grant_pb2_grpc,
    link_pb2,
    link_pb2_grpc,
    uplink_pb2,
    uplink_pb2_grpc,
)

from common.courier.bell import Bell
from common.courier.cursor import NOWHERE, Gap, Place
from common.courier.log import Entry, LogPosition
from common.courier.standing import Known, Written
from common.delivery.claim import Contacts
from common.delivery.fence import Fence
from common.kernel.columns import Codes
from common.kernel.grant import GrantRequest
from common.kernel.incarnation import FIRST, WentBack
from common.kernel.policy import CLOCK_MARGIN_SECONDS
from common.kernel.refusal import Refusal
from common.runtime.clock import Clock
from common.runtime.database import Database
from common.wire import codec, faults, versions
from common.wire.grant_codec import grant_request
from common.wire.server import build_channel
from common.wire.streams import CONTROL_LANE, HQ, OUTBOX_STREAMS, TOPICS, outbox_name, topic_name
from province import link
from province.inbox import Inbox
from province.link import Reading, Take

_log = logging.getLogger(__name__)

CALL_SECONDS = 20.0
WATCH_SECONDS = 600.0
POLL_SECONDS = 1.0
"""How long an entry that another process appended may go unnoticed."""
BACK_OFF_FIRST_SECONDS = 0.2
BACK_OFF_SECONDS_MAX = 5.0
HELD_SECONDS_MAX = 3.0
"""While another instance holds the session, ask again this often."""
LANES = ("control", "bulk")
INBOX = "inbox"
"""The bell rings for (INBOX, topic) when entries of a topic were applied."""


class SessionLost(Exception):
    """The session must be opened anew; nothing is lost by that."""


class HqClient:
    """Runs until cancelled. `bell` is rung for ("hq", stream) by whoever appended to the outbox.

    `takeover` lets the first session follow a crash at once: set it where no second instance can be running.
    `hear_time` is told what time HQ says it is.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bell: Bell,
        inbox: Inbox,
        code: str,
        address: str,
        credentials: grpc.ChannelCredentials,
        build_version: str,
        fence: Fence,
        *,
        takeover: bool = False,
        random: Random | None = None,
        hear_time: Callable[[int], object] = lambda _seconds: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._inbox = inbox
        self._code = code
        self._address = address
        self._credentials = credentials
        self._build_version = build_version
        self._restore_fence = fence
        self._takeover = takeover
        self._hear_time = hear_time
        self._random = random or Random()  # noqa: S311 - spreads reconnects, keeps no secret
        self._instance_id = uuid.uuid4().hex
        self._opened = link_pb2.OpenSessionResponse()
        self.heard_at: dict[str, float] = {}
        """By topic, at what monotonic second this node knew all that HQ had to tell: how fresh the stops are."""
        self.ousted = False
        """Another instance of this province holds the session: there may be a copy of this node."""
        self.clock_off_seconds = 0
        """How far HQ's clock is ahead of this node's."""
        self._grants: grant_pb2_grpc.GrantServiceStub | None = None

    async def run(self) -> None:
        channels = {lane: build_channel(self._address, self._credentials, lane=lane) for lane in LANES}
        back_off = BackOff(self._random)
        try:
            while True:
                await self._hold(channels, back_off)
                await back_off.wait()
        finally:
            await asyncio.shield(self._leave(channels))

    async def _hold(self, channels: Mapping[str, grpc.aio.Channel], back_off: BackOff) -> None:
        """Open a session and work in it until it is lost."""
        places = await self._open(channels["control"], back_off)
        if places is None:
            return
        back_off.reset()
        self._grants = grant_pb2_grpc.GrantServiceStub(channels["control"])  # type: ignore[no-untyped-call]
        turns = {"lease": self._renewer(channels["control"])}
        for topic in TOPICS:
            turns[f"feed {topic}"] = Watcher(self, channels[_lane(topic)], topic).turn
        for stream, place in places.items():
            turns[f"outbox {stream}"] = Pusher(self, channels[_lane(stream)], stream, place).turn
        try:
            await _until_one_fails([asyncio.create_task(self._keep(what, turn)) for what, turn in turns.items()])
        except SessionLost as lost:
            _log.warning("the session with HQ was lost and is opened anew: %s", lost)
        finally:
            self._grants = None

    async def _open(self, channel: grpc.aio.Channel, back_off: BackOff) -> dict[str, Place] | None:
        """Where each outbox stream goes on; None where HQ did not open a session."""
        request = await self._asked()
        stub = link_pb2_grpc.LinkServiceStub(channel)  # type: ignore[no-untyped-call]
        sent_at = self._clock.monotonic()
        try:
            self._opened = await stub.OpenSession(request, timeout=CALL_SECONDS)
            # Once is enough to follow our own crash; a twin that fences us later must not be fenced back for ever.
            self._takeover = self.ousted = False
        except grpc.aio.AioRpcError as error:
            refusal = faults.of_error(error)
            _complain("open a session", error, refusal)
            if refusal is not None:
                await self._refused(request.incarnation, refusal, back_off)
            return None
        self._told_time(self._opened, sent_at)
        try:
            return await self._database.write(link.join, _known(self._opened), self._clock.now())
        except WentBack as gone:
            _log.error("this node came back from a backup: %s", gone)
            await self._restore_fence.fall(gone.number, gone.above)
            return None

    async def _asked(self) -> link_pb2.OpenSessionRequest:
        standing = await self._database.read(link.standing)
        return link_pb2.OpenSessionRequest(
            instance_id=self._instance_id,
            build_version=self._build_version,
            min_contract_revision=versions.CONTRACT_REVISIONS[0],
            max_contract_revision=versions.CONTRACT_REVISIONS[1],
            capabilities=sorted(versions.CAPABILITIES),
            outbox_positions=[_position(*each) for each in standing.outbox.items()],
            takeover=self._takeover,
            incarnation=standing.incarnation,
            client_time=Timestamp(seconds=self._clock.now()),
            hq_incarnation=standing.hq_incarnation,
            feed_places=[_feed_place(*each) for each in standing.feed.items()],
        )

    async def _refused(self, incarnation: int, refusal: Refusal, back_off: BackOff) -> None:
        if refusal.reason == "SESSION_HELD":
            self.ousted = True
            back_off.at_most(HELD_SECONDS_MAX)
        elif refusal.reason == "RESTORE_FENCED":
            await self._restore_fence.fall(incarnation, int(refusal.metadata["incarnation"]))

    def _told_time(
        self, response: link_pb2.OpenSessionResponse | link_pb2.RenewSessionResponse, sent_at: float
    ) -> None:
        """As of half way between question and answer."""
        self._hear_time(response.server_time.seconds)
        half_way = (self._clock.monotonic() - sent_at) / 2
        self.clock_off_seconds = round(response.server_time.seconds + half_way - self._clock.now())

    async def _keep(self, what: str, turn: Callable[[BackOff], Awaitable[None]]) -> None:
        """Take turns for ever; failures wait longer and longer, and a lost session ends it."""
        back_off = BackOff(self._random)
        while True:
            try:
                await turn(back_off)
            except (grpc.aio.AioRpcError, TimeoutError, Refusal) as error:
                refusal = faults.of_error(error) if isinstance(error, grpc.aio.AioRpcError) else None
                if refusal is not None and refusal.reason in ("SESSION_FENCED", "EPOCH_STALE", "SEQUENCE_GAP"):
                    raise SessionLost(f"{what}: {refusal.message}") from error
                _complain(what, error, refusal)
                await back_off.wait(refusal.retry_seconds if refusal else 0.0)

    def _renewer(self, channel: grpc.aio.Channel) -> Callable[[BackOff], Awaitable[None]]:
        stub = link_pb2_grpc.LinkServiceStub(channel)  # type: ignore[no-untyped-call]

        async def renew(back_off: BackOff) -> None:
            await asyncio.sleep(self._opened.lease_duration.ToNanoseconds() / 3e9)
            sent_at, now = self._clock.monotonic(), Timestamp(seconds=self._clock.now())
            request = link_pb2.RenewSessionRequest(fence=self._opened.fence, client_time=now)
            self._told_time(await stub.RenewSession(request, timeout=CALL_SECONDS), sent_at)
            back_off.reset()

        return renew

    async def _leave(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        """Give the session back, so that the next instance need not wait for the lease."""
        stub = link_pb2_grpc.LinkServiceStub(channels["control"])  # type: ignore[no-untyped-call]
        with suppress(grpc.aio.AioRpcError):
            if self._opened.fence:
                await stub.CloseSession(link_pb2.CloseSessionRequest(fence=self._opened.fence), timeout=1.0)
        for channel in channels.values():
            await channel.close()

    async def acquire(self, asked: GrantRequest) -> Codes | None:
        """HQ's answer to a request for contacts, a reason for each; None while HQ cannot be asked.

        Raises Refusal where HQ will not hear it.
        """
        if self._grants is None:
            return None
        try:
            response = await self._grants.AcquireGrants(grant_request(asked, self.fence), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            refusal = faults.of_error(error)
            if refusal is None or refusal.reason == "SESSION_FENCED":
                return None
            raise refusal from error
        return np.array(response.reasons, dtype=np.uint8)

    # What watchers and pushers need of their client.

    @property
    def fence(self) -> int:
        return self._opened.fence

    @property
    def silence_seconds_max(self) -> float:
        """A watched HQ that says nothing for so long is gone, whatever TCP believes."""
        return 5.0 + 2 * self._opened.limits.progress_interval.ToNanoseconds() / 1e9

    async def apply(self, topic: str, entries: Sequence[feed_pb2.FeedEntry], place: Place | None) -> None:
        """Apply entries and, where given, move the topic's place, in one transaction."""
        values = await asyncio.to_thread(_read_entries, entries, self._code)
        await self._database.write(
            link.apply, self._inbox, topic, values, place, self._clock.now(), ahead=topic in CONTROL_LANE
        )
        self._bell.ring(HQ, "control")
        self._bell.ring(INBOX, topic)

    async def place(self, topic: str) -> Place:
        return await self._database.read(link.place, topic)

    async def outbox(self, stream: str, after: Place) -> list[Entry]:
        heard = self._bell.heard(HQ, stream)
        found = await self._database.read(link.unsent, stream, after)
        if not found:
            await self._bell.wait(HQ, stream, heard, POLL_SECONDS)
        return found

    async def committed(self, stream: str, place: Place) -> bool:
        return await self._database.write(link.committed, stream, place)

    def may_contact(self, stop_freshness_seconds: int) -> Contacts:
        """Nobody without fresh stops, or beside another instance; by HQ's leave only while the two clocks agree."""
        heard_at, now = self.heard_at.get("control", float("-inf")), self._clock.monotonic()
        if self.ousted or not link.is_fresh(heard_at, now, stop_freshness_seconds):
            return Contacts.NOBODY
        return Contacts.ALL if abs(self.clock_off_seconds) <= CLOCK_MARGIN_SECONDS else Contacts.OWN

    def hear(self, topic: str, said_at: int) -> None:
        """HQ said at `said_at`, by its clock, that it has no more to tell than is applied here."""
        ago = self._clock.now() + self.clock_off_seconds - said_at
        self.heard_at[topic] = self._clock.monotonic() - max(0, ago)


class Watcher:
    """Reads one topic on. A turn is one watch, which HQ ends after a while."""

    def __init__(self, client: HqClient, channel: grpc.aio.Channel, topic: str) -> None:
        self._client = client
        self._feed = feed_pb2_grpc.FeedServiceStub(channel)  # type: ignore[no-untyped-call]
        self._topic = topic

    async def turn(self, back_off: BackOff) -> None:
        place = await self._client.place(self._topic)
        request = feed_pb2.WatchFeedRequest(
            fence=self._client.fence,
            topic=TOPICS[self._topic],
            epoch=place.epoch,
            after_cursor=place.sequence,
            chain=place.chain,
            max_duration=Duration(seconds=int(WATCH_SECONDS)),
        )
        if place != NOWHERE:
            await self._commit(place)
        reading = Reading(place)
        call = self._feed.WatchFeed(request, timeout=WATCH_SECONDS + CALL_SECONDS)
        try:
            while True:
                async with asyncio.timeout(self._client.silence_seconds_max):
                    response = await call.read()
                if response is grpc.aio.EOF:
                    return
                await self._take(response, reading)
                progress = response.progress
                if response.HasField("progress") and reading.caught_up(progress.head_cursor):
                    self._client.hear(self._topic, progress.server_time.seconds)
                back_off.reset()
        finally:
            call.cancel()

    async def _take(self, response: feed_pb2.WatchFeedResponse, reading: Reading) -> None:
        entries = response.batch.entries
        step: Take | Gap | None = None
        if response.HasField("reset"):
            reset = response.reset
            step = reading.reset(Place(reset.epoch, reset.snapshot_cursor, reset.chain), reset.snapshot_entries)
        elif entries:
            step = reading.batch(entries[0].cursor, entries[-1].cursor, entries[-1].chain, len(entries))
        if isinstance(step, Gap):
            raise SessionLost(f"feed {self._topic} jumped to {entries[0].cursor}, expected {step.expected}")
        if step is not None:
            await self._client.apply(self._topic, entries[step.skip :], step.place)
            if step.place is not None:
                await self._commit(step.place)

    async def _commit(self, place: Place) -> None:
        """HQ may have another view of this place; then the next watch is answered with a reset, and nothing is lost."""
        request = feed_pb2.CommitFeedRequest(
            fence=self._client.fence,
            topic=TOPICS[self._topic],
            epoch=place.epoch,
            through_cursor=place.sequence,
            chain=place.chain,
        )
        try:
            await self._feed.CommitFeed(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            refusal = faults.of_error(error)
            if refusal is None or refusal.reason != "EPOCH_STALE":
                raise


class Pusher:
    """Sends one outbox stream on, one call at a time. A turn is one call, or a wait for something to send."""

    def __init__(self, client: HqClient, channel: grpc.aio.Channel, stream: str, place: Place) -> None:
        self._client = client
        self._uplink = uplink_pb2_grpc.UplinkServiceStub(channel)  # type: ignore[no-untyped-call]
        self._stream = stream
        self._place = place

    async def turn(self, back_off: BackOff) -> None:
        entries = await self._client.outbox(self._stream, self._place)
        if not entries:
            return
        response = await self._uplink.Append(self._request(entries), timeout=CALL_SECONDS)
        place = Place(response.epoch, response.committed_sequence, response.chain)
        if not await self._client.committed(self._stream, place):
            raise SessionLost(f"HQ's place in outbox {self._stream} is not one of ours: {place}")
        self._place = place
        back_off.reset()
        await asyncio.sleep(response.pause.ToNanoseconds() / 1e9)

    def _request(self, entries: Sequence[Entry]) -> uplink_pb2.AppendRequest:
        request = uplink_pb2.AppendRequest(
            fence=self._client.fence, stream=OUTBOX_STREAMS[self._stream], epoch=self._place.epoch
        )
        for entry in entries:
            message = request.entries.add()
            message.MergeFromString(entry.payload)
            message.sequence = entry.sequence
            message.chain = entry.chain
        return request


class BackOff:
    """Full jitter between nothing and a bound that doubles with each failure in a row."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0
        self._bound = BACK_OFF_SECONDS_MAX

    def reset(self) -> None:
        self._failures = 0
        self._bound = BACK_OFF_SECONDS_MAX

    def at_most(self, seconds: float) -> None:
        """Until the next success."""
        self._bound = seconds

    async def wait(self, at_least: float = 0.0) -> None:
        bound = min(self._bound, BACK_OFF_FIRST_SECONDS * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        await asyncio.sleep(max(at_least, self._random.uniform(0.0, bound)))


async def _until_one_fails(tasks: list[asyncio.Task[None]]) -> None:
    """Raises what the first failed with, when all have ended. (A TaskGroup of Python 3.11 that is ending already
    swallows its parent's cancellation, and the node would not stop.)"""
    try:
        failed, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in failed:
        task.result()


def _lane(stream: str) -> str:
    return "control" if stream in CONTROL_LANE else "bulk"


def _position(stream: str, written: Written) -> link_pb2.OutboxPosition:
    head = written.head
    return link_pb2.OutboxPosition(
        stream=OUTBOX_STREAMS[stream],
        epoch=head.epoch,
        sequence=head.sequence,
        chain=head.chain,
        acknowledged=written.acknowledged,
    )


def _feed_place(topic: str, place: Place) -> link_pb2.FeedPlace:
    return link_pb2.FeedPlace(topic=TOPICS[topic], epoch=place.epoch, cursor=place.sequence, chain=place.chain)


def _known(opened: link_pb2.OpenSessionResponse) -> Known:
    return Known(
        opened.incarnation or FIRST,
        {outbox_name(at.stream): Place(at.epoch, at.sequence, at.chain) for at in opened.committed_positions},
        {
            topic_name(at.topic): LogPosition(at.epoch, at.oldest_cursor, at.head_cursor, at.committed_cursor, 0)
            for at in opened.feed_positions
        },
    )


def _read_entries(entries: Sequence[feed_pb2.FeedEntry], code: str) -> list[codec.Incoming]:
    values = (codec.read_feed_entry(entry, code) for entry in entries)
    return [value for value in values if value is not None]


def _complain(what: str, error: Exception, refusal: Refusal | None) -> None:
    if refusal is not None:
        _log.error("%s: HQ refused, %s: %s", what, refusal.reason, refusal.message)
    elif isinstance(error, grpc.aio.AioRpcError):
        _log.warning("%s: %s %s", what, error.code().name, error.details())
    else:
        _log.warning("%s: %s", what, error or "HQ is silent")
