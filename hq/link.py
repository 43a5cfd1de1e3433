"""HQ's end of a province's session, feed and outbox, as transactions; the transport is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from common.courier import cursor, log
from common.courier.cursor import NOWHERE, Apply, Gap, Place, Stale
from common.courier.log import Entry, LogPosition
from common.courier.standing import Standing
from common.delivery import fence as restore_fence
from common.kernel.columns import Codes
from common.kernel.grant import GrantRequest
from common.kernel.incarnation import FIRST, HEARSAY_MAX, WentBack
from common.kernel.refusal import conflict, invalid
from common.wire import codec
from common.wire.columns import BLOCK_BYTES_MAX
from common.wire.streams import OUTBOX_STREAMS, TOPICS
from hq.store import feed, grants, provinces, sessions, uplink
from hq.store.sessions import Session

BATCH_ENTRIES_MAX = 64


@dataclass(frozen=True, slots=True)
class Opened:
    session: Session
    feed: dict[str, LogPosition]
    outbox: dict[str, Place]
    """What HQ holds of each outbox stream."""
    incarnation: int = FIRST
    """HQ's own."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """The numbers of what a province pushed: entries `first` to `last.sequence` of `last.epoch`."""

    fence: int
    first: int
    last: Place


def open_session(
    connection: Connection,
    ask: Session,
    build_version: str,
    now: int,
    *,
    leap: int,
    takeover: bool = False,
    standing: Standing | None = None,
    clock_off_seconds: int = 0,
) -> Opened:
    """Refused with RESTORE_FENCED where the province is an older incarnation than one that was here.

    `leap` as `sessions.opened` has it. Raises WentBack where the province knows more of this HQ than HQ does itself.
    `clock_off_seconds`: how far the province's clock is ahead.
    """
    provinces.seen(connection, ask.province, build_version, now)
    provinces.told_time(connection, ask.province, clock_off_seconds)
    held = sessions.load(connection, ask.province)
    given = sessions.opened(held, ask, takeover=takeover, now=now, leap=leap)
    own = restore_fence.load(connection).number
    if standing is not None:
        _check_incarnation(connection, ask.province, standing.incarnation)
        _check_memory(connection, ask.province, own, standing)
        another = held is None or held.instance_id != ask.instance_id
        _settle_memories(connection, ask.province, own, standing, another)
        provinces.met(connection, ask.province, standing.incarnation)
    sessions.put(connection, given)
    return Opened(
        given,
        log.positions(connection, ask.province, TOPICS),
        {stream: cursor.load(connection, ask.province, stream) for stream in OUTBOX_STREAMS},
        own,
    )


def renew_session(connection: Connection, province: str, fence: int, expires_at: int, clock_off_seconds: int) -> None:
    sessions.renew(connection, province, fence, expires_at)
    provinces.told_time(connection, province, clock_off_seconds)


def _check_incarnation(connection: Connection, province: str, told: int) -> None:
    known = provinces.incarnation(connection, province)
    if told < known:
        raise conflict(
            f"province {province} has been here as incarnation {known}, and now comes as {told}: its store is a "
            f"restored one or a copy; it must become incarnation {known + 1}",
            "RESTORE_FENCED",
            incarnation=str(known),
        )


def _check_memory(connection: Connection, province: str, own: int, told: Standing) -> None:
    """What HQ forgot by a restore that it knows of itself is no news."""
    if told.hq_incarnation < own:
        return
    if told.hq_incarnation > max(own, HEARSAY_MAX):
        raise invalid(f"no incarnation is above {HEARSAY_MAX}; HQ is {own}")
    if told.hq_incarnation > own:
        raise WentBack(own, told.hq_incarnation, f"province {province} has met HQ as {told.hq_incarnation}")
    logs = log.positions(connection, province, TOPICS)
    for topic, place in told.feed.items():
        if log.went_back(connection, province, topic, place, logs.get(topic)):
            raise WentBack(own, own, f"province {province} has feed {topic} up to {place}, which HQ never wrote")
    for stream, written in told.outbox.items():
        held = cursor.load(connection, province, stream)
        if written.acknowledged and (held.epoch, held.sequence) < (written.head.epoch, written.acknowledged):
            what = f"HQ acknowledged outbox {stream} of {province} up to {written.acknowledged}, and holds {held}"
            raise WentBack(own, own, what)


def _settle_memories(connection: Connection, province: str, own: int, told: Standing, another: bool) -> None:
    """After both sides were restored, each may lack what the other, as it was, knew to be over.

    `another`: than the instance that was here last. The same one asks again when an answer was lost.
    """
    if told.hq_incarnation >= own:
        return
    if another or told.incarnation > provinces.incarnation(connection, province):
        # Its backup may hold what a lost HQ issued and the province, as it was, did not: all is to be told anew.
        provinces.retold(connection, province, told.hq_incarnation)
    if told.incarnation > FIRST:
        # Of what is over a restored province was told nothing, and to this HQ it may not be over.
        reads_from = told.feed.get(feed.WORK_ORDERS, NOWHERE)
        log.raise_epoch(connection, province, feed.WORK_ORDERS, above=reads_from.epoch)


def look(
    connection: Connection, province: str, topic: str, fence: int, place: Place, window: int
) -> list[Entry] | int | None:
    """Entries to send; or the head, where there is nothing to send now; or None where the reader's place is gone."""
    sessions.check(connection, province, fence)
    at = log.position(connection, province, topic)
    if not log.in_step(connection, province, topic, place, at):
        return None
    room = min(at.committed + window - place.sequence, BATCH_ENTRIES_MAX)
    if room <= 0 or place.sequence == at.head:
        return at.head
    return log.read_after(connection, province, topic, place.sequence, room, BLOCK_BYTES_MAX)


def reset(
    connection: Connection, province: str, topic: str, fence: int, place: Place
) -> tuple[Place, list[feed.Piece]]:
    """Where a reader whose place is gone stands once it has taken all the pieces."""
    sessions.check(connection, province, fence)
    if log.went_back(connection, province, topic, place):
        log.raise_epoch(connection, province, topic, above=place.epoch)
    return log.head_place(connection, province, topic), feed.snapshot(connection, province, topic)


def payload(connection: Connection, piece: feed.Piece) -> bytes:
    value = piece(connection)
    return b"" if value is None else codec.feed_entry(value, snapshot=True)


def commit(connection: Connection, province: str, topic: str, fence: int, place: Place) -> int:
    """The province has everything up to `place`; answers the cursor HQ keeps for it."""
    sessions.check(connection, province, fence)
    at = log.commit(connection, province, topic, place)
    if at is None:
        raise conflict(f"{topic} has no such place as {place}; watch again from where you are", "EPOCH_STALE")
    log.compact(connection, province, topic, at)
    return at.committed


def append(
    connection: Connection,
    province: str,
    stream: str,
    pushed: Pushed,
    values: list[codec.Outgoing],
    now: int,
    trusted: bool = True,
) -> tuple[Place, set[str]]:
    """Take what is new; answers how far HQ has the stream, and the provinces whose control feed grew.

    `trusted`: nothing speaks against `now` being the time.
    """
    sessions.check(connection, province, pushed.fence)
    place = cursor.load(connection, province, stream, lock=True)
    match cursor.admit(place, pushed.last.epoch, pushed.first, pushed.last.sequence):
        case Gap(expected):
            raise conflict(
                f"{stream}: entries before {pushed.first} are missing; resend from {expected}",
                "SEQUENCE_GAP",
                expected=str(expected),
            )
        case Stale():
            raise conflict(f"{stream}: epoch {pushed.last.epoch} is over, reopen the session", "EPOCH_STALE")
        case Apply(skip):
            told = uplink.apply(connection, province, values[skip:], now, trusted)
            cursor.put(connection, province, stream, pushed.last)
            return pushed.last, told
    return place, set()


def acquire(connection: Connection, province: str, fence: int, asked: GrantRequest, now: int) -> tuple[str, Codes]:
    """(work order, a reason for each contact asked for), as `hq.store.grants` answers."""
    sessions.check(connection, province, fence)
    return grants.acquire(connection, province, asked, now)
