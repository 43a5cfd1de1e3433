"""Who asked to be left alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, false, select

from common.delivery.tables import stop
from common.kernel.columns import Keys, Mask, Rows
from common.runtime import bulk

Moments = NDArray[np.integer]
"""Unix seconds, of any integer width."""

_BETWEEN = (
    select(stop.c.subscriber_key)
    .where(stop.c.subscriber_key.between(bindparam("first"), bindparam("last")), stop.c.lifted == false())
    .order_by(stop.c.subscriber_key)
)


def put_stops(connection: Connection, keys: Keys, stopped_at: Moments, lifted: Mask) -> Rows:
    """Record stops and their liftings, in any order and repeated: the latest says, and of two at once the stop.

    Answers the rows that changed what is stored.
    """
    order = np.lexsort((~lifted, stopped_at, keys))
    last = np.append(keys[order][1:] != keys[order][:-1], True)[: len(keys)]
    rows = order[last]
    keys, times, lifted = keys[rows], stopped_at[rows].astype(np.int64), lifted[rows]
    newer = _newer(connection, keys, times, lifted)
    columns = {
        "subscriber_key": keys[newer],
        "scope": np.zeros(int(newer.sum()), dtype=np.int64),
        "stopped_at": times[newer],
        "lifted": lifted[newer],
    }
    bulk.upsert(connection, stop, columns)
    changed: Rows = rows[newer]
    return changed


def stopped_between(connection: Connection, first: int, last: int) -> Keys:
    """Keys in [first, last] with a stop that stands, ascending."""
    found = connection.execute(_BETWEEN, {"first": first, "last": last}).scalars()
    return np.array(found.all(), dtype=np.int64)


def all_stops(connection: Connection) -> tuple[Keys, NDArray[np.int64], Mask]:
    """(keys, times, lifted) of everything ever recorded, by key."""
    rows = connection.execute(
        select(stop.c.subscriber_key, stop.c.stopped_at, stop.c.lifted).order_by(stop.c.subscriber_key)
    ).all()
    table = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2].astype(np.bool_)


def _newer(connection: Connection, keys: Keys, times: NDArray[np.int64], lifted: Mask) -> Mask:
    """Which of the entries, sorted by unique key, win over what is stored."""
    known = bulk.lookup(connection, stop, "subscriber_key", keys, ("stopped_at", "lifted"))
    newer = np.ones(len(keys), dtype=np.bool_)
    if known:
        table = np.array(known, dtype=np.int64)
        places = np.searchsorted(keys, table[:, 0])
        tie = (times[places] == table[:, 1]) & ~lifted[places] & (table[:, 2] == 1)
        newer[places] = (times[places] > table[:, 1]) | tie
    return newer
