"""Who is to be left alone, and by what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, bindparam, delete, false, or_, select

from common.delivery import erasures
from common.delivery.tables import stop
from common.kernel.columns import Codes, Keys, Mask, Rows
from common.kernel.stop import Stops, StopScope
from common.runtime import bulk

SCOPES = 256
"""Scope codes are below this."""

_RANGE = stop.c.subscriber_key.between(bindparam("first"), bindparam("last"))
_COLUMNS = (stop.c.subscriber_key, stop.c.stopped_at, stop.c.lifted, stop.c.scope)
_BY_KEY = (stop.c.subscriber_key, stop.c.scope)
_STANDING = (
    select(stop.c.subscriber_key, stop.c.scope, stop.c.stopped_at)
    .where(
        _RANGE,
        stop.c.lifted == false(),
        or_(stop.c.scope != int(StopScope.REFUSED), stop.c.stopped_at > bindparam("refused_after")),
    )
    .order_by(*_BY_KEY)
)
_BETWEEN = select(*_COLUMNS).where(_RANGE).order_by(*_BY_KEY)
_ALL = select(*_COLUMNS).order_by(*_BY_KEY)
_VOID = delete(stop).where(
    stop.c.subscriber_key == bindparam("of"),
    stop.c.stopped_at < bindparam("before"),
    stop.c.scope != int(StopScope.BLACKLIST),
)


def put_stops(connection: Connection, said: Stops, heard_at: int = 0) -> Rows:
    """Record stops and their liftings, in any order and repeated: of a subscriber and scope the latest says, and of
    two at once the stop. What was said before a number was given to somebody new is not recorded, but on the blacklist.

    Answers the rows that changed what is stored.
    """
    at = said.stopped_at.astype(np.int64)
    counts = (at >= erasures.void_until(connection, said.keys)) | (said.scopes == StopScope.BLACKLIST)
    kept = np.flatnonzero(counts)
    order = kept[np.lexsort((~said.lifted[kept], at[kept], said.scopes[kept], said.keys[kept]))]
    other = (said.keys[order][1:] != said.keys[order][:-1]) | (said.scopes[order][1:] != said.scopes[order][:-1])
    rows = order[np.append(other, True)[: len(order)]]
    changed: Rows = rows[_news(connection, said.take(rows))]
    columns: dict[str, bulk.Column] = {
        "subscriber_key": said.keys[changed],
        "scope": said.scopes[changed],
        "stopped_at": at[changed],
        "lifted": said.lifted[changed],
        "heard_at": np.full(len(changed), heard_at),
    }
    bulk.upsert(connection, stop, columns)
    return changed


def standing_between(
    connection: Connection, first: int, last: int, refused_after: int = 0
) -> tuple[Keys, Codes, NDArray[np.int64]]:
    """(keys, scopes, stopped_at) of the stops that stand on keys in [first, last], by key and scope.

    Refusals up to `refused_after`, from which nobody rests any more, are left out.
    """
    rows = connection.execute(_STANDING, {"first": first, "last": last, "refused_after": refused_after}).all()
    table = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1].astype(np.uint8), table[:, 2]


def stops_between(connection: Connection, first: int, last: int) -> Stops:
    """All that is recorded of keys in [first, last], liftings too, by key and scope."""
    return _stops(connection.execute(_BETWEEN, {"first": first, "last": last}).all())


def all_stops(connection: Connection) -> Stops:
    """Everything recorded, by key and scope."""
    return _stops(connection.execute(_ALL).all())


def void(connection: Connection, keys: Keys, before: NDArray[np.integer]) -> None:
    """Drop what was said of `keys` before their moments, but for the blacklist."""
    for key, moment in zip(keys.tolist(), before.tolist(), strict=True):
        connection.execute(_VOID, {"of": key, "before": moment})


def _news(connection: Connection, newest: Stops) -> Mask:
    """Which of the entries, by unique key and scope, win over what is stored."""
    unique, places = np.unique(newest.keys, return_inverse=True)
    known = bulk.lookup(connection, stop, "subscriber_key", unique, ("scope", "stopped_at", "lifted"))
    news = np.ones(len(newest), dtype=np.bool_)
    if known:
        table = np.array(known, dtype=np.int64)
        stored = np.searchsorted(unique, table[:, 0]) * SCOPES + table[:, 1]
        identities = places * SCOPES + newest.scopes
        rows = np.minimum(np.searchsorted(identities, stored), len(identities) - 1)
        there = identities[rows] == stored
        rows, at, lifted = rows[there], table[there, 2], table[there, 3] == 1
        tie = (newest.stopped_at[rows] == at) & ~newest.lifted[rows] & lifted
        news[rows] = (newest.stopped_at[rows] > at) | tie
    return news


def _stops(rows: Sequence[Row[*tuple[Any, ...]]]) -> Stops:
    table = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 4)
    return Stops(table[:, 0], table[:, 1].astype(np.uint32), table[:, 2] == 1, table[:, 3].astype(np.uint8))
