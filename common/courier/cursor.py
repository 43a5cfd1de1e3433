"""The receiver's side of a log: where it stands, and what to do with entries that arrive."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select

from common.courier.tables import cursor


@dataclass(frozen=True, slots=True)
class Place:
    """Everything up to `sequence` of `epoch` is applied; `chain` is what the writer gave that entry."""

    epoch: int
    sequence: int
    chain: int


NOWHERE = Place(0, 0, 0)
"""Before the first entry of the first epoch."""

_IS = (cursor.c.peer == bindparam("of_peer"), cursor.c.stream == bindparam("of_stream"))
_LOAD = select(cursor.c.epoch, cursor.c.sequence, cursor.c.chain).where(*_IS)
_LOCKED = _LOAD.with_for_update()
_DELETE = delete(cursor).where(*_IS)
_INSERT = insert(cursor)


@dataclass(frozen=True, slots=True)
class Apply:
    skip: int
    """So many entries at the front are repeats."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """All of it is applied already."""


@dataclass(frozen=True, slots=True)
class Gap:
    expected: int


@dataclass(frozen=True, slots=True)
class Stale:
    """The entries come from an epoch that is over."""


def admit(place: Place, epoch: int, first: int, last: int) -> Apply | Repeat | Gap | Stale:
    """What to do with entries `first` to `last` of `epoch`.

    A newer epoch starts at 1: its writer was restored, what it sends may be known already, and applying by business
    key makes that harmless.
    """
    if epoch < place.epoch:
        return Stale()
    applied = place.sequence if epoch == place.epoch else 0
    if last <= applied:
        return Repeat()
    if first > applied + 1:
        return Gap(applied + 1)
    return Apply(applied + 1 - first)


def load(connection: Connection, peer: str, stream: str, *, lock: bool = False) -> Place:
    """`lock`: the row, where the store can, so that two writers cannot both apply one entry."""
    row = connection.execute(_LOCKED if lock else _LOAD, {"of_peer": peer, "of_stream": stream}).one_or_none()
    return NOWHERE if row is None else Place(*row)


def put(connection: Connection, peer: str, stream: str, place: Place) -> None:
    """Call in the transaction that applied the entries."""
    connection.execute(_DELETE, {"of_peer": peer, "of_stream": stream})
    row = {"peer": peer, "stream": stream, "epoch": place.epoch, "sequence": place.sequence, "chain": place.chain}
    connection.execute(_INSERT, row)
