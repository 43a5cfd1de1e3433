"""The province's end of its feed and its outbox, as transactions; the transport is elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from common.courier import cursor, log
from common.courier.cursor import NOWHERE, Apply, Gap, Place
from common.courier.log import Entry, LogPosition
from common.courier.standing import Known, Standing, Written
from common.delivery import fence
from common.kernel.incarnation import FIRST, Retold, WentBack
from common.wire import codec
from common.wire.columns import BLOCK_BYTES_MAX
from common.wire.streams import HQ, OUTBOX_STREAMS, TOPICS
from province.inbox import Inbox
from province.store import commands, local_requests, meetings
from province.store.meetings import Meeting
from province.uplink import append_everything, append_held, append_retold

APPEND_ENTRIES_MAX = 256
WORK_ORDERS = "work_orders"
RETOLD_STREAMS = frozenset({"control", "results"})
"""What an HQ that forgot must hear of before it contacts anybody."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Take:
    """Apply what came but for `skip` entries at its front, and in the same transaction move to `place`."""

    skip: int
    place: Place | None
    """None: the place stays, for a snapshot cut short is asked for again, whole."""


class Reading:
    """One watch of a topic, from `place` on."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._reset: Place | None = None
        self._pieces_left = 0

    def reset(self, to: Place, pieces: int) -> Take | None:
        """HQ starts over: what comes next is a snapshot of so many pieces, and then stands at `to`."""
        self._reset, self._pieces_left = to, pieces
        return None if pieces else self._whole()

    def batch(self, first: int, last: int, chain: int, entries: int) -> Take | Gap | None:
        """What to do with `entries` that came, numbered `first` to `last`; None: they are known."""
        if self._reset is not None:
            self._pieces_left -= entries
            return Take(0, None) if self._pieces_left > 0 else self._whole()
        match cursor.admit(self.place, self.place.epoch, first, last):
            case Apply(skip):
                self.place = Place(self.place.epoch, last, chain)
                return Take(skip, self.place)
            case Gap() as gap:
                return gap
        return None

    def caught_up(self, head: int) -> bool:
        """Whether everything up to `head`, HQ's newest entry, is applied: no snapshot is under way either."""
        return self._reset is None and head <= self.place.sequence

    def _whole(self) -> Take:
        self.place, self._reset = self._reset or self.place, None
        return Take(0, self.place)


def is_fresh(heard_at: float, now: float, seconds: float) -> bool:
    """Whether HQ spoke so lately that its stops are known here; both moments monotonic."""
    return now - heard_at <= seconds


def knows_hq(connection: Connection) -> bool:
    """Whether HQ ever told this node all that governs contacts: before, it cannot know by which policy to decide."""
    return place(connection, "control") != NOWHERE


def place(connection: Connection, topic: str) -> Place:
    return cursor.load(connection, HQ, topic)


def apply(
    connection: Connection, inbox: Inbox, topic: str, values: Iterable[codec.Incoming], to: Place | None, now: int
) -> None:
    """Apply entries and, where given, move the topic's place, in one transaction.

    A snapshot of the work orders tells nothing of those that are over: HQ is asked for what this node lacks of them,
    after it, for what HQ answered before it would be passed over.
    """
    inbox.apply(connection, values, now)
    if to is not None:
        if topic == WORK_ORDERS and to.epoch != place(connection, topic).epoch:
            append_held(connection, now)
        cursor.put(connection, HQ, topic, to)


def positions(connection: Connection) -> dict[str, Place]:
    """The newest entry of each outbox stream."""
    return {stream: log.head_place(connection, HQ, stream, at) for stream, at in _logs(connection).items()}


def standing(connection: Connection) -> Standing:
    """What HQ is told of this node when a session opens."""
    return Standing(
        fence.load(connection).number,
        meetings.last(connection).hq_incarnation,
        {topic: place(connection, topic) for topic in TOPICS},
        {
            stream: Written(log.head_place(connection, HQ, stream, at), at.committed)
            for stream, at in _logs(connection).items()
        },
    )


def join(connection: Connection, known: Known, now: int) -> dict[str, Place]:
    """Where to send each outbox stream on from. An HQ that came back from a backup is told everything again.

    Raises WentBack where HQ knows more of this node than it does itself.
    """
    own, last = fence.load(connection).number, meetings.last(connection)
    if last.incarnation in (0, own):
        _check_memory(connection, own, known)
    anew = known.incarnation not in (FIRST, last.hq_incarnation)
    places = rejoin(connection, known.outbox, now, anew=anew)
    if anew:
        _log.warning("HQ is incarnation %d now; telling it everything", known.incarnation)
        append_retold(connection, Retold(known.incarnation), now)
    meetings.note(connection, Meeting(known.incarnation, own))
    return places


def rejoin(connection: Connection, held: Mapping[str, Place], now: int, *, anew: bool = False) -> dict[str, Place]:
    """Where to send each outbox stream on from, HQ holding so much of it. `anew`: and tell it of all contacts again."""
    return {
        stream: _rejoin(connection, stream, held.get(stream, NOWHERE), now, anew=anew and stream in RETOLD_STREAMS)
        for stream in OUTBOX_STREAMS
    }


def begin_incarnation(connection: Connection) -> None:
    """Read HQ's feed anew: what this node had told HQ itself, and forgot, it hears again only that way.

    What waited to be decided waits no more: it may have been decided.
    """
    local_requests.give_up(connection)
    for topic in TOPICS:
        cursor.put(connection, HQ, topic, NOWHERE)
    # Of what is not over HQ says it again; of what is, the work order will never come.
    commands.drop_all(connection)
    meetings.note(connection, replace(meetings.last(connection), incarnation=meetings.FORGOTTEN))


def unsent(connection: Connection, stream: str, after: Place) -> list[Entry]:
    return log.read_after(connection, HQ, stream, after.sequence, APPEND_ENTRIES_MAX, BLOCK_BYTES_MAX)


def committed(connection: Connection, stream: str, place: Place) -> bool:
    """HQ has everything up to `place`. False where that is no place of this log."""
    at = log.commit(connection, HQ, stream, place)
    if at is not None:
        log.compact(connection, HQ, stream, at)
    return at is not None


def _logs(connection: Connection) -> dict[str, LogPosition]:
    return log.positions(connection, HQ, OUTBOX_STREAMS)


def _check_memory(connection: Connection, own: int, known: Known) -> None:
    logs = _logs(connection)
    for stream, held in known.outbox.items():
        if log.went_back(connection, HQ, stream, held, logs.get(stream)):
            raise WentBack(own, own, f"HQ holds outbox {stream} up to {held}, which this node never wrote")
    for topic, at in known.feed.items():
        here = place(connection, topic)
        if at.epoch == here.epoch and at.committed > here.sequence:
            raise WentBack(own, own, f"this node confirmed feed {topic} up to {at.committed}, and stands at {here}")


def _rejoin(connection: Connection, stream: str, held: Place, now: int, *, anew: bool) -> Place:
    onward, tell_all = log.rejoin(connection, HQ, stream, held)
    if tell_all:
        _log.error("outbox %s: HQ stands at %s, which is no place of this log; telling all again", stream, held)
    if tell_all or anew:
        append_everything(connection, stream, now, forgot=anew)
    return onward
