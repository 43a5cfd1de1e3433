"""The province's end of its feed and its outbox, as transactions; the transport is elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from common.courier import cursor, log
from common.courier.cursor import NOWHERE, Apply, Gap, Place
from common.courier.log import Entry
from common.wire import codec
from common.wire.columns import BLOCK_BYTES_MAX
from common.wire.streams import HQ, OUTBOX_STREAMS
from province.inbox import Inbox
from province.uplink import append_everything

APPEND_ENTRIES_MAX = 256

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

    def _whole(self) -> Take:
        self.place, self._reset = self._reset or self.place, None
        return Take(0, self.place)


def place(connection: Connection, topic: str) -> Place:
    return cursor.load(connection, HQ, topic)


def apply(
    connection: Connection, inbox: Inbox, topic: str, values: Iterable[codec.Incoming], to: Place | None, now: int
) -> None:
    """Apply entries and, where given, move the topic's place, in one transaction."""
    inbox.apply(connection, values, now)
    if to is not None:
        cursor.put(connection, HQ, topic, to)


def positions(connection: Connection) -> dict[str, Place]:
    """The newest entry of each outbox stream."""
    return {stream: log.head_place(connection, HQ, stream) for stream in OUTBOX_STREAMS}


def rejoin(connection: Connection, held: dict[str, Place], now: int) -> dict[str, Place]:
    """Where to send each outbox stream on from, HQ holding so much of it."""
    return {stream: _rejoin(connection, stream, held.get(stream, NOWHERE), now) for stream in OUTBOX_STREAMS}


def unsent(connection: Connection, stream: str, after: Place) -> list[Entry]:
    return log.read_after(connection, HQ, stream, after.sequence, APPEND_ENTRIES_MAX, BLOCK_BYTES_MAX)


def committed(connection: Connection, stream: str, place: Place) -> bool:
    """HQ has everything up to `place`. False where that is no place of this log."""
    known = log.commit(connection, HQ, stream, place)
    log.compact(connection, HQ, stream)
    return known


def _rejoin(connection: Connection, stream: str, held: Place, now: int) -> Place:
    onward, tell_all = log.rejoin(connection, HQ, stream, held)
    if tell_all:
        _log.error("outbox %s: HQ stands at %s, which is no place of this log; telling all again", stream, held)
        append_everything(connection, stream, now)
    return onward
