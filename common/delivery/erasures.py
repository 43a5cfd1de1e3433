"""Whose data is to be forgotten, and whose number was given to somebody new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, bindparam, false, select, update

from common.delivery.tables import erasure, vault
from common.kernel.columns import Keys, Mask, Rows, in_sorted
from common.kernel.erasure import Erasures
from common.kernel.task_block import TaskBlock, without_texts
from common.runtime import bulk

_BETWEEN = (
    select(erasure.c.subscriber_key, erasure.c.erased_at)
    .where(erasure.c.subscriber_key.between(bindparam("first"), bindparam("last")), erasure.c.lifted == false())
    .order_by(erasure.c.subscriber_key)
)
_ALL = select(erasure.c.subscriber_key, erasure.c.erased_at, erasure.c.lifted).order_by(erasure.c.subscriber_key)
_ALL_BETWEEN = _ALL.where(erasure.c.subscriber_key.between(bindparam("first"), bindparam("last")))
_HOME = update(erasure).where(erasure.c.subscriber_key == bindparam("of")).values(province=bindparam("home"))


def put_erasures(connection: Connection, said: Erasures) -> Rows:
    """Record them, in any order and repeated: the latest of a subscriber says, and of two at once the erasure.

    Answers the rows that changed what is stored. What follows from it is `common.delivery.forgetting`'s.
    """
    order = np.lexsort((~said.lifted, said.erased_at, said.keys))
    last = np.append(said.keys[order][1:] != said.keys[order][:-1], True)[: len(order)]
    rows = order[last]
    newest = said.take(rows)
    times, lifted, there = marks(connection, newest.keys)
    at = newest.erased_at.astype(np.int64)
    news = ~there | (at > times) | ((at == times) & lifted & ~newest.lifted)
    columns = {"subscriber_key": newest.keys[news], "erased_at": at[news], "lifted": newest.lifted[news]}
    bulk.upsert(connection, erasure, columns)
    changed: Rows = rows[news]
    return changed


def marks(connection: Connection, keys: Keys) -> tuple[NDArray[np.int64], Mask, Mask]:
    """(when, lifted, known) of the newest said of each of `keys`, ascending and unique; unknown: 0, False, False."""
    times, lifted = np.zeros(len(keys), dtype=np.int64), np.zeros(len(keys), dtype=np.bool_)
    there = np.zeros(len(keys), dtype=np.bool_)
    found = bulk.lookup(connection, erasure, "subscriber_key", keys, ("erased_at", "lifted"))
    if found:
        table = np.array(found, dtype=np.int64)
        places = np.searchsorted(keys, table[:, 0])
        times[places], lifted[places], there[places] = table[:, 1], table[:, 2] == 1, True
    return times, lifted, there


def void_until(connection: Connection, keys: Keys) -> NDArray[np.int64]:
    """For each of `keys`, in any order: what was said of them before that moment counts no more; 0: all counts."""
    unique, places = np.unique(keys, return_inverse=True)
    moments: NDArray[np.int64] = marks(connection, unique)[0][places]
    return moments


def erased(connection: Connection, keys: Keys) -> Mask:
    """Which of `keys`, in any order, are erased and not given to somebody new since."""
    unique, places = np.unique(keys, return_inverse=True)
    _, lifted, there = marks(connection, unique)
    found: Mask = (there & ~lifted)[places]
    return found


def erased_between(connection: Connection, first: int, last: int) -> tuple[Keys, NDArray[np.int64]]:
    """(keys, when) of those erased with keys in [first, last], ascending."""
    rows = connection.execute(_BETWEEN, {"first": first, "last": last}).all()
    table = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def all_erasures(connection: Connection) -> Erasures:
    """Everything recorded, by key."""
    return _erasures(connection.execute(_ALL).all())


def all_erased(connection: Connection) -> Keys:
    """Everybody erased, and not somebody else since; ascending."""
    known = all_erasures(connection)
    erased: Mask = ~known.lifted
    return known.keys[erased]


def erasures_between(connection: Connection, first: int, last: int) -> Erasures:
    """All that is recorded of keys in [first, last], by key."""
    return _erasures(connection.execute(_ALL_BETWEEN, {"first": first, "last": last}).all())


def _erasures(rows: Sequence[Row[*tuple[Any, ...]]]) -> Erasures:
    table = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 3)
    return Erasures(table[:, 0], table[:, 1].astype(np.uint32), table[:, 2] == 1)


def forgotten(connection: Connection, block: TaskBlock) -> TaskBlock:
    """`block` without the texts to those who are erased."""
    erased, _ = erased_between(connection, int(block.keys[0]), int(block.keys[-1]))
    rows = np.flatnonzero(in_sorted(block.keys, erased))
    return without_texts(block, rows) if len(rows) else block


def keep_homes(connection: Connection, keys: Keys) -> None:
    """Note where those being erased live: their province alone may say that a number was given to somebody new."""
    for key, home in bulk.lookup(connection, vault, "subscriber_key", keys, ("province",)):
        connection.execute(_HOME, {"of": key, "home": home})


def homes_of(connection: Connection, keys: Keys) -> NDArray[np.int64]:
    """Province codes aligned with `keys`, in any order, as noted when they were erased; 0 where unknown."""
    unique, places = np.unique(keys, return_inverse=True)
    homes = np.zeros(len(unique), dtype=np.int64)
    found = bulk.lookup(connection, erasure, "subscriber_key", unique, ("province",))
    if found:
        table = np.array(found, dtype=np.int64)
        homes[np.searchsorted(unique, table[:, 0])] = table[:, 1]
    return homes[places]
