"""The sender's side of a durable log: append with the business change, read on, drop what the reader has.

Callers own the transactions. Payloads are opaque.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from itertools import accumulate

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from common.courier.cursor import Place
from common.courier.tables import log, log_entry

COMPACT_ENTRIES_MAX = 256
"""How many entries one call of `compact` removes at most."""


@dataclass(frozen=True, slots=True)
class LogPosition:
    epoch: int
    oldest: int
    head: int
    committed: int
    base_chain: int


@dataclass(frozen=True, slots=True)
class Entry:
    sequence: int
    payload: bytes
    chain: int


NEW = LogPosition(epoch=1, oldest=1, head=0, committed=0, base_chain=0)

_LOG = (log.c.peer == bindparam("of_peer"), log.c.stream == bindparam("of_stream"))
_ENTRY = (log_entry.c.peer == bindparam("of_peer"), log_entry.c.stream == bindparam("of_stream"))
_FOLLOW = (*_ENTRY, log_entry.c.sequence > bindparam("after"))

_PLACE = (log.c.epoch, log.c.oldest, log.c.head, log.c.committed, log.c.base_chain)
_POSITION = select(*_PLACE).where(*_LOG)
_POSITIONS = select(log.c.stream, *_PLACE).where(log.c.peer == bindparam("of_peer"))
_LOCKED_POSITION = _POSITION.with_for_update()
_INSERT_LOG = insert(log)
_UPDATE_LOG = update(log).where(*_LOG)
_COMMIT = _UPDATE_LOG.where(log.c.committed < bindparam("through")).values(committed=bindparam("through"))
_INSERT_ENTRIES = insert(log_entry)
_CHAIN = select(log_entry.c.chain).where(*_ENTRY, log_entry.c.sequence == bindparam("at"))
_SIZES = (
    select(log_entry.c.sequence, func.length(log_entry.c.payload))
    .where(*_FOLLOW)
    .order_by(log_entry.c.sequence)
    .limit(bindparam("limit_entries"))
)
_ENTRIES = (
    select(log_entry.c.sequence, log_entry.c.payload, log_entry.c.chain)
    .where(*_FOLLOW, log_entry.c.sequence <= bindparam("through"))
    .order_by(log_entry.c.sequence)
)
_DROP = delete(log_entry).where(*_ENTRY, log_entry.c.sequence <= bindparam("through"))
# By way of negative numbers: no row may ever meet another's old number.
_RENUMBER = (
    update(log_entry).where(*_ENTRY).values(sequence=bindparam("shift") - log_entry.c.sequence),
    update(log_entry).where(*_ENTRY).values(sequence=-log_entry.c.sequence),
)


def append(connection: Connection, peer: str, stream: str, payloads: Sequence[bytes], now: int) -> int:
    """Number the payloads on from the head; answers the new head. Durable when the caller's transaction is."""
    if not payloads:
        return position(connection, peer, stream).head
    at = _opened(connection, peer, stream)
    before = _chain_at(connection, peer, stream, at, at.head)
    chains = list(accumulate(payloads, _link, initial=before or 0))[1:]
    rows = [
        {
            "peer": peer,
            "stream": stream,
            "sequence": at.head + n,
            "payload": payload,
            "chain": chain,
            "appended_at": now,
        }
        for n, (payload, chain) in enumerate(zip(payloads, chains, strict=True), start=1)
    ]
    head = at.head + len(rows)
    connection.execute(_INSERT_ENTRIES, rows)
    connection.execute(_UPDATE_LOG, _of(peer, stream, head=head))
    return head


def position(connection: Connection, peer: str, stream: str) -> LogPosition:
    return _row(connection, peer, stream) or NEW


def positions(connection: Connection, peer: str, streams: Iterable[str]) -> dict[str, LogPosition]:
    """Those of all logs for one peer at once."""
    known = {stream: LogPosition(*at) for stream, *at in connection.execute(_POSITIONS, {"of_peer": peer})}
    return {stream: known.get(stream, NEW) for stream in streams}


def head_place(connection: Connection, peer: str, stream: str, at: LogPosition | None = None) -> Place:
    """Where a reader stands that has everything. `at` is the log's position, where it was read already."""
    at = at or position(connection, peer, stream)
    return Place(at.epoch, at.head, _chain_at(connection, peer, stream, at, at.head) or 0)


def read_after(
    connection: Connection, peer: str, stream: str, after: int, limit_entries: int, limit_bytes: int
) -> list[Entry]:
    """The entries that follow `after`, at least one where there is one, within both limits."""
    sizes = connection.execute(_SIZES, _of(peer, stream, after=after, limit_entries=limit_entries)).all()
    if not sizes:
        return []
    fitting = [n for (n, _), size in zip(sizes, accumulate(s for _, s in sizes), strict=True) if size <= limit_bytes]
    last = fitting[-1] if fitting else sizes[0][0]
    rows = connection.execute(_ENTRIES, _of(peer, stream, after=after, through=last))
    return [Entry(*row) for row in rows]


def in_step(connection: Connection, peer: str, stream: str, place: Place, at: LogPosition | None = None) -> bool:
    """Whether this log can go on from where its reader stands.

    False where the reader is behind compaction, in another epoch, or ahead of this log or on another branch of it:
    one of the two was restored from a backup. `at` is the log's position, where it was read already.
    """
    at = at or position(connection, peer, stream)
    return place.epoch == at.epoch and _chain_at(connection, peer, stream, at, place.sequence) == place.chain


def went_back(connection: Connection, peer: str, stream: str, place: Place, at: LogPosition | None = None) -> bool:
    """Whether the reader holds what this log never wrote: this node was restored from a backup. `at` as before."""
    at = at or position(connection, peer, stream)
    if place.epoch != at.epoch:
        return place.epoch > at.epoch
    known = _chain_at(connection, peer, stream, at, place.sequence)
    return place.sequence > at.head or known not in (None, place.chain)


def rejoin(connection: Connection, peer: str, stream: str, place: Place) -> tuple[Place, bool]:
    """Where to send on from, the reader standing at `place`; and whether the caller must append all it knows again.

    It must where this side or the other came back from a backup: a new epoch has then begun.
    """
    if commit(connection, peer, stream, place):
        return place, False
    at = position(connection, peer, stream)
    if place.epoch < at.epoch and at.oldest == 1:
        return Place(at.epoch, 0, 0), False
    return Place(raise_epoch(connection, peer, stream, above=place.epoch).epoch, 0, 0), True


def commit(connection: Connection, peer: str, stream: str, place: Place) -> LogPosition | None:
    """The reader has everything up to `place`. None, changing nothing, where that place is not in step."""
    at = position(connection, peer, stream)
    if not in_step(connection, peer, stream, place, at):
        return None
    if place.sequence <= at.committed:
        return at
    connection.execute(_COMMIT, _of(peer, stream, through=place.sequence))
    return replace(at, committed=place.sequence)


def compact(connection: Connection, peer: str, stream: str, at: LogPosition | None = None) -> int:
    """Drop up to COMPACT_ENTRIES_MAX of the oldest entries the reader has; answers how many."""
    at = at or position(connection, peer, stream)
    through = min(at.committed, at.oldest + COMPACT_ENTRIES_MAX - 1)
    if through < at.oldest:
        return 0
    base = _chain_at(connection, peer, stream, at, through) or 0
    connection.execute(_DROP, _of(peer, stream, through=through))
    connection.execute(_UPDATE_LOG, _of(peer, stream, oldest=through + 1, base_chain=base))
    return through + 1 - at.oldest


def raise_epoch(connection: Connection, peer: str, stream: str, above: int = 0) -> LogPosition:
    """Begin an epoch newer than this log's and than `above`; the entries kept are numbered afresh from 1.

    The reader then takes each of them again, by business key.
    """
    at = _opened(connection, peer, stream)
    shift = at.oldest - 1
    negative, positive = _RENUMBER
    connection.execute(negative, _of(peer, stream, shift=shift))
    connection.execute(positive, _of(peer, stream))
    raised = LogPosition(max(at.epoch, above) + 1, 1, at.head - shift, 0, 0)
    connection.execute(_UPDATE_LOG, _of(peer, stream, **asdict(raised)))
    return raised


def _opened(connection: Connection, peer: str, stream: str) -> LogPosition:
    """The log's row, made where it is missing and locked where the store can."""
    found = _row(connection, peer, stream, lock=True)
    if found is None:
        found = NEW
        connection.execute(_INSERT_LOG, {"peer": peer, "stream": stream} | asdict(NEW))
    return found


def _row(connection: Connection, peer: str, stream: str, lock: bool = False) -> LogPosition | None:
    row = connection.execute(_LOCKED_POSITION if lock else _POSITION, _of(peer, stream)).one_or_none()
    return None if row is None else LogPosition(*row)


def _chain_at(connection: Connection, peer: str, stream: str, at: LogPosition, sequence: int) -> int | None:
    """None where the entry is not kept and its chain is not known."""
    if sequence == at.oldest - 1:
        return at.base_chain
    return connection.execute(_CHAIN, _of(peer, stream, at=sequence)).scalar()


def _link(before: int, payload: bytes) -> int:
    digest = blake2b(before.to_bytes(8, "big") + payload, digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _of(peer: str, stream: str, **values: int) -> dict[str, str | int]:
    return {"of_peer": peer, "of_stream": stream, **values}
