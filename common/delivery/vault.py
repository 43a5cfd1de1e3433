"""The vault: the one place in a node where a number and its subscriber key meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, delete, false, select, update

from common.delivery import erasures
from common.delivery.tables import vault
from common.kernel.columns import Keys, Mask, Rows, Times
from common.runtime import bulk

_CAME = (
    update(vault)
    .where(vault.c.subscriber_key == bindparam("of"), vault.c.home_since < bindparam("moment"))
    .values(home_since=bindparam("moment"))
)


def put_subscribers(
    connection: Connection, keys: Keys, msisdns: NDArray[np.int64], province: int | NDArray[np.integer]
) -> tuple[int, Rows]:
    """Add people, or re-home those known; answers how many were new and the rows quarantined.

    A row is quarantined, and nothing of it kept, where its key already belongs to another number, or to somebody who
    was erased. Someone known stays active or inactive as they were.
    """
    provinces = np.broadcast_to(np.asarray(province, dtype=np.int64), keys.shape)
    unique, first, places = np.unique(keys, return_index=True, return_inverse=True)
    stored, known, *_ = people(connection, unique)
    holders = np.where(known, stored, msisdns[first])
    clash = (holders[places] != msisdns) | erasures.erased(connection, keys)
    kept = known | ~clash[first]
    rows = np.flatnonzero(~clash)
    homes = np.zeros(len(unique), dtype=np.int64)
    homes[places[rows]] = provinces[rows]
    fresh = kept & ~known
    columns = {
        "subscriber_key": unique[fresh],
        "msisdn": holders[fresh],
        "province": homes[fresh],
        "active": np.ones(int(fresh.sum()), dtype=np.bool_),
    }
    added = bulk.insert_new(connection, vault, columns)
    _rehome(connection, unique[known & (homes > 0)], homes[known & (homes > 0)])
    return added, np.flatnonzero(clash)


def people(connection: Connection, keys: Keys) -> tuple[NDArray[np.int64], Mask, Mask, NDArray[np.int64]]:
    """(numbers, known, active, home since) aligned with `keys`, which must be ascending and unique; unknown: zeros."""
    table = np.zeros((len(keys), 3), dtype=np.int64)
    found = bulk.lookup(connection, vault, "subscriber_key", keys, ("msisdn", "active", "home_since"))
    if found:
        rows = np.array(found, dtype=np.int64)
        table[np.searchsorted(keys, rows[:, 0])] = rows[:, 1:]
    return table[:, 0], table[:, 0] > 0, table[:, 1] != 0, table[:, 2]


def numbers(connection: Connection, keys: Keys) -> tuple[NDArray[np.int64], Mask]:
    """(msisdns, known) aligned with `keys`, in any order; 0 where unknown."""
    unique, places = np.unique(keys, return_inverse=True)
    found, known, *_ = people(connection, unique)
    return found[places], known[places]


def inactive_between(connection: Connection, first: int, last: int) -> Keys:
    """Keys in [first, last] of people who left, ascending."""
    query = (
        select(vault.c.subscriber_key)
        .where(vault.c.subscriber_key >= first, vault.c.subscriber_key <= last, vault.c.active == false())
        .order_by(vault.c.subscriber_key)
    )
    return np.array(connection.execute(query).scalars().all(), dtype=np.int64)


def remove(connection: Connection, keys: Keys) -> None:
    """Forget the numbers of `keys` and all else the vault has of them."""
    for part in np.array_split(keys, 1 + len(keys) // 500):
        connection.execute(delete(vault).where(vault.c.subscriber_key.in_(part.tolist())))


def set_home_since(connection: Connection, keys: Keys, moments: Times) -> None:
    """Record when each came to be at home here; the latest says. Unknown keys are passed over."""
    rows = [{"of": key, "moment": moment} for key, moment in zip(keys.tolist(), moments.tolist(), strict=True)]
    if rows:
        connection.execute(_CAME, rows)


def set_active(connection: Connection, keys: Keys, active: Mask) -> None:
    """Record who left and who is back; of repeats the last says. Unknown keys are passed over."""
    unique, from_end = np.unique(keys[::-1], return_index=True)
    _update(connection, unique, "active", active[::-1][from_end])


def provinces_of(connection: Connection, keys: Keys) -> NDArray[np.int64]:
    """Home province codes aligned with `keys`, in any order; 0 where unknown."""
    unique, places = np.unique(keys, return_inverse=True)
    homes = np.zeros(len(unique), dtype=np.int64)
    found = bulk.lookup(connection, vault, "subscriber_key", unique, ("province",))
    if found:
        table = np.array(found, dtype=np.int64)
        homes[np.searchsorted(unique, table[:, 0])] = table[:, 1]
    return homes[places]


def keys_of_province(connection: Connection, province: int) -> Keys:
    """Everyone at home in `province`, active or not, ascending."""
    query = select(vault.c.subscriber_key).where(vault.c.province == province).order_by(vault.c.subscriber_key)
    return np.fromiter(connection.execute(query).scalars(), dtype=np.int64)


def _rehome(connection: Connection, keys: Keys, homes: NDArray[np.int64]) -> None:
    moved = provinces_of(connection, keys) != homes
    _update(connection, keys[moved], "province", homes[moved])


def _update(connection: Connection, keys: Keys, column: str, values: NDArray[np.generic]) -> None:
    for value in np.unique(values):
        wanted = keys[values == value]
        there = np.array(
            [key for (key,) in bulk.lookup(connection, vault, "subscriber_key", wanted, ())], dtype=np.int64
        )
        for part in np.array_split(there, 1 + len(there) // 500):
            connection.execute(
                update(vault).where(vault.c.subscriber_key.in_(part.tolist())).values({column: value.item()})
            )
