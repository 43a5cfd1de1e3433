"""National orders from cBSS: kept at HQ and handed down to the subscriber's home province."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Connection

from common.courier.bell import Bell
from common.delivery import vault
from common.delivery.orders import new_orders
from common.delivery.source_follower import Log, SourceFollower
from common.kernel.bss import OrderPage, OrderSource, order_records
from common.kernel.order import OrderRecords
from common.runtime.clock import Clock
from common.runtime.database import Database
from hq.store import feed
from hq.store.feed import ORDERS


def follower(
    database: Database, clock: Clock, bell: Bell, cbss: OrderSource, source_system: str, federation_key: bytes
) -> SourceFollower[OrderPage]:
    def take(connection: Connection, page: OrderPage, now: int) -> list[Log]:
        return take_orders(connection, order_records(source_system, page.orders, federation_key), now)

    return SourceFollower(database, clock, bell, source_system, ORDERS, cbss.list_orders, take)


def take_orders(connection: Connection, records: OrderRecords, now: int) -> list[Log]:
    """Keep what is new and feed it to the home provinces; answers the logs that grew.

    Orders of people HQ does not know are kept, and go nowhere.
    """
    return feed_orders(connection, new_orders(connection, records, now), now)


def feed_orders(connection: Connection, new: OrderRecords, now: int) -> list[Log]:
    homes = vault.provinces_of(connection, new.keys)
    grown = []
    for home in np.unique(homes[homes > 0]).tolist():
        theirs = new.take(np.flatnonzero(homes == home))
        feed.put(connection, f"{home:02d}", [theirs], now)
        grown.append((f"{home:02d}", ORDERS))
    return grown
