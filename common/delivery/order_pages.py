"""The node's order records in pages whose number is known before the first is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, select, tuple_

from common.delivery.tables import order_record, vault
from common.kernel.order import OrderRecords

PAGE_ROWS = 5_000

Identity = tuple[str, str, int]
"""Source system, order number, revision."""

_IDENTITY = (order_record.c.source_system, order_record.c.order_number, order_record.c.revision)
_RECORD = (
    *_IDENTITY,
    order_record.c.subscriber_key,
    order_record.c.offer,
    order_record.c.change,
    order_record.c.amount_fen,
    order_record.c.accepted_at,
)


def page_ends(connection: Connection, province: int | None = None) -> list[Identity]:
    """The last record of each page, in order; only of people at home in `province`, where it is given."""
    rows = connection.execute(_of(province, select(*_IDENTITY)).order_by(*_IDENTITY))
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
    query = _of(province, select(*_RECORD)).where(tuple_(*_IDENTITY) <= through).order_by(*_IDENTITY)
    if after is not None:
        query = query.where(tuple_(*_IDENTITY) > after)
    columns: list[Any] = list(zip(*connection.execute(query), strict=True)) or [()] * len(_RECORD)
    return OrderRecords(
        source_systems=list(columns[0]),
        order_numbers=list(columns[1]),
        revisions=np.array(columns[2], dtype=np.int64),
        keys=np.array(columns[3], dtype=np.int64),
        offers=list(columns[4]),
        changes=np.array(columns[5], dtype=np.uint8),
        amounts_fen=np.array(columns[6], dtype=np.int64),
        accepted_at=np.array(columns[7], dtype=np.uint32),
    )


def _of(province: int | None, query: Select[Any]) -> Select[Any]:
    if province is None:
        return query
    return query.join(vault, vault.c.subscriber_key == order_record.c.subscriber_key).where(
        vault.c.province == province
    )
