"""Orders and the subscriber pool from the province's BSS: applied here and told to HQ in one transaction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from common.courier.bell import Bell
from common.delivery import fence, forgetting, vault
from common.delivery.orders import new_orders
from common.delivery.source_follower import Log, SourceFollower
from common.kernel.bss import OrderPage, OrderSource, PoolPage, PoolSource, order_records
from common.kernel.erasure import erasures_of
from common.kernel.incarnation import FIRST
from common.kernel.order import OrderRecords, PoolChange
from common.kernel.pool import PoolChanges
from common.kernel.subscriber import subscriber_keys
from common.runtime.clock import Clock
from common.runtime.database import Database
from common.wire.streams import HQ
from province import uplink


def order_follower(
    database: Database, clock: Clock, bell: Bell, bss: OrderSource, source_system: str, federation_key: bytes
) -> SourceFollower[OrderPage]:
    def take(connection: Connection, page: OrderPage, now: int) -> list[Log]:
        return take_orders(connection, order_records(source_system, page.orders, federation_key), now)

    return SourceFollower(database, clock, bell, source_system, "orders", bss.list_orders, take)


def pool_follower(
    database: Database,
    clock: Clock,
    bell: Bell,
    bss: PoolSource,
    source_system: str,
    federation_key: bytes,
    province: int,
) -> SourceFollower[PoolPage]:
    def take(connection: Connection, page: PoolPage, now: int) -> list[Log]:
        msisdns = np.array([each.msisdn for each in page.changes], dtype=np.int64)
        changes = PoolChanges(
            keys=subscriber_keys(federation_key, msisdns.tolist()),
            changes=np.array([each.change for each in page.changes], dtype=np.uint8),
            changed_at=np.array([each.changed_at for each in page.changes], dtype=np.uint32),
        )
        return take_pool_changes(connection, changes, msisdns, province, now)

    return SourceFollower(database, clock, bell, source_system, "pool", bss.list_pool_changes, take)


def take_orders(connection: Connection, records: OrderRecords, now: int) -> list[Log]:
    """Keep what is new and report it up; answers the logs that grew.

    A node that came back from a backup reads on from an old place, and may have heard from HQ what comes. It reports
    that as well: an HQ put back since may have lost it, and would ask nobody else.
    """
    came_back = fence.load(connection).number > FIRST
    return report_orders(connection, new_orders(connection, records, now, known_too=came_back), now)


def report_orders(connection: Connection, new: OrderRecords, now: int) -> list[Log]:
    if len(new) == 0:
        return []
    uplink.append_orders(connection, new, now)
    return [(HQ, "orders")]


def take_pool_changes(
    connection: Connection, changes: PoolChanges, msisdns: NDArray[np.int64], province: int, now: int
) -> list[Log]:
    """Who left is never contacted again until back; to somebody who was given a number nothing said before applies.

    Changes are applied in the order given, which is the source's. Who was erased and comes back stays unknown.
    """
    if len(changes) == 0:
        return []
    moved = changes.take(np.flatnonzero(changes.changes == PoolChange.REASSIGNED))
    forgetting.take(connection, erasures_of(moved.keys, moved.changed_at, lifted=True))
    here = changes.changes != PoolChange.LEFT
    came = _came(connection, changes)
    vault.put_subscribers(connection, changes.keys[here], msisdns[here], province)
    vault.set_active(connection, changes.keys, here)
    vault.set_home_since(connection, came.keys, came.changed_at)
    uplink.append_pool(connection, changes, now)
    return [(HQ, "pool")]


def _came(connection: Connection, changes: PoolChanges) -> PoolChanges:
    """Who was not at home here before, or was gone in between."""
    people, places = np.unique(changes.keys, return_inverse=True)
    _, _, active, _ = vault.people(connection, people)
    stayed = active[places] & ~np.isin(changes.keys, changes.keys[changes.changes == PoolChange.LEFT])
    return changes.take(np.flatnonzero((changes.changes == PoolChange.JOINED) & ~stayed))
