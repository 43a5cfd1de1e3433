"""The node's order records in pages whose number is known before the first is read.

`province`: only of people at home there. Else only what the node's own sources told it, and no other node.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, select, tuple_

from common.delivery.orders import RECORD, records_of
from common.delivery.tables import order_record, source_place, vault
from common.kernel.order import OrderRecords

PAGE_ROWS = 5_000

Identity = tuple[str, str, int]
"""Source system, order number, revision."""

_OWN_SOURCES = select(source_place.c.source_system).where(source_place.c.feed == "orders")
_IDENTITY = (order_record.c.source_system, order_record.c.order_number, order_record.c.revision)


def page_ends(connection: Connection, province: int | None = None) -> list[Identity]:
    """The last record of each page, in order."""
    rows = connection.execute(_identities(province))
    ends: list[Identity] = []
    filled = PAGE_ROWS
    for row in rows:
        if filled == PAGE_ROWS:
            ends.append((row[0], row[1], row[2]))
            filled = 0
        ends[-1] = (row[0], row[1], row[2])
        filled += 1
    return ends


def page(
    connection: Connection, after: Identity | None, through: Identity, province: int | None = None
) -> OrderRecords:
    """The records after one page's end and up to another's."""
    query = _of(province, select(*RECORD)).where(tuple_(*_IDENTITY) <= through).order_by(*_IDENTITY)
    if after is not None:
        query = query.where(tuple_(*_IDENTITY) > after)
    return records_of(connection.execute(query).all())


@cache
def _identities(province: int | None) -> Select[Any]:
    return _of(province, select(*_IDENTITY)).order_by(*_IDENTITY)


def _of(province: int | None, query: Select[Any]) -> Select[Any]:
    if province is None:
        return query.where(order_record.c.source_system.in_(_OWN_SOURCES))
    return query.join(vault, vault.c.subscriber_key == order_record.c.subscriber_key).where(
        vault.c.province == province
    )
