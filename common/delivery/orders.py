"""The node's order records, and who owns an offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, Select, bindparam, exists, func, select, update

from common.delivery import erasures
from common.delivery.tables import order_record
from common.kernel.columns import Keys, Mask
from common.kernel.order import OrderChange, OrderRecords
from common.runtime import bulk

NUMBERS_PER_STATEMENT = 5_000
NOBODY = 0
"""The subscriber key of orders whose customer was erased: they count as sales, and are nobody's."""


def put_orders(connection: Connection, records: OrderRecords, observed_at: int) -> Mask:
    """Store the records not known yet; answers which those are. What is stored changes only by `unlink`."""
    records = _unlinked(connection, records)
    known = _known(connection, records)
    new = np.zeros(len(records), dtype=np.bool_)
    for row, identity in enumerate(_identities(records)):
        new[row] = identity not in known
        known.add(identity)
    bulk.insert_new(connection, order_record, _columns(records.take(np.flatnonzero(new)), observed_at))
    return new


def new_orders(
    connection: Connection, records: OrderRecords, observed_at: int, *, known_too: bool = False
) -> OrderRecords:
    """Store the records not known yet; answers them, or with `known_too` all, as they are kept."""
    records = _unlinked(connection, records)
    new = put_orders(connection, records, observed_at)
    return records if known_too else records.take(np.flatnonzero(new))


def owners_between(connection: Connection, offer: str, first: int, last: int) -> Keys:
    """Subscriber keys in [first, last], ascending, with an order of `offer` that stands.

    The highest revision of an order number decides, so the order of arrival is inert: a reversal or cancellation that
    came before the order it ends still ends it.
    """
    rows = connection.execute(_OWNERS, {"of_offer": offer, "first": first, "last": last})
    return np.fromiter(rows.scalars(), dtype=np.int64)


def counts(connection: Connection) -> tuple[int, int]:
    """How many records there are, and how many of nobody: another pair whenever owners may be others."""
    return int(connection.execute(_COUNT).scalar_one()), int(connection.execute(_OF_NOBODY).scalar_one())


def ordered_between(connection: Connection, first: int, last: int, since: int) -> tuple[Keys, NDArray[np.int64]]:
    """(keys, when) of the last order of anything after `since` by keys in [first, last], ascending."""
    rows = connection.execute(_ORDERED, {"first": first, "last": last, "since": since}).all()
    table = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def orders_of_subscriber(connection: Connection, key: int) -> OrderRecords:
    """Every record of one person, by time."""
    return records_of(connection.execute(_OF_SUBSCRIBER, {"key": key}).all())


def unlink(connection: Connection, key: int, through: int | None = None) -> int:
    """Make the records of `key` nobody's, those accepted up to `through` where it is given; answers how many."""
    latest = np.iinfo(np.int64).max if through is None else through
    return int(connection.execute(_UNLINK, {"key": key, "through": int(latest)}).rowcount)


def orders_of_offer(connection: Connection, offer: str) -> OrderRecords:
    """Every record of `offer`, in no particular order."""
    found = connection.execute(select(*RECORD).where(order_record.c.offer == offer))
    return records_of(found.all())


RECORD = (
    order_record.c.source_system,
    order_record.c.order_number,
    order_record.c.revision,
    order_record.c.subscriber_key,
    order_record.c.offer,
    order_record.c.change,
    order_record.c.amount_fen,
    order_record.c.accepted_at,
)


def _owners() -> Select[tuple[int]]:
    later = order_record.alias("later")
    ended = exists().where(
        later.c.source_system == order_record.c.source_system,
        later.c.order_number == order_record.c.order_number,
        later.c.revision > order_record.c.revision,
    )
    return (
        select(order_record.c.subscriber_key)
        .distinct()
        .where(
            order_record.c.offer == bindparam("of_offer"),
            order_record.c.subscriber_key.between(bindparam("first"), bindparam("last")),
            order_record.c.change == int(OrderChange.SUBSCRIBED),
            ~ended,
        )
        .order_by(order_record.c.subscriber_key)
    )


_OWNERS = _owners()
_COUNT = select(func.count(order_record.c.subscriber_key))
_OF_NOBODY = _COUNT.where(order_record.c.subscriber_key == NOBODY)
_ORDERED = (
    select(order_record.c.subscriber_key, func.max(order_record.c.accepted_at))
    .where(
        order_record.c.subscriber_key.between(bindparam("first"), bindparam("last")),
        order_record.c.accepted_at > bindparam("since"),
        order_record.c.change == int(OrderChange.SUBSCRIBED),
    )
    .group_by(order_record.c.subscriber_key)
    .order_by(order_record.c.subscriber_key)
)
_OF_SUBSCRIBER = (
    select(*RECORD)
    .where(order_record.c.subscriber_key == bindparam("key"))
    .order_by(order_record.c.accepted_at, order_record.c.order_number, order_record.c.revision)
)
_UNLINK = (
    update(order_record)
    .where(order_record.c.subscriber_key == bindparam("key"), order_record.c.accepted_at <= bindparam("through"))
    .values(subscriber_key=NOBODY)
)


def _unlinked(connection: Connection, records: OrderRecords) -> OrderRecords:
    """Nobody's, where the customer is erased."""
    erased = erasures.erased(connection, records.keys)
    return replace(records, keys=np.where(erased, NOBODY, records.keys)) if erased.any() else records


def _identities(records: OrderRecords) -> zip[tuple[str, str, int]]:
    return zip(records.source_systems, records.order_numbers, records.revisions.tolist(), strict=True)


def _known(connection: Connection, records: OrderRecords) -> set[tuple[str, str, int]]:
    """Identities stored under the order numbers given (also of revisions not asked for)."""
    numbers = sorted(set(records.order_numbers))
    sources = sorted(set(records.source_systems))
    known: set[tuple[str, str, int]] = set()
    for start in range(0, len(numbers), NUMBERS_PER_STATEMENT):
        some = numbers[start : start + NUMBERS_PER_STATEMENT]
        found = connection.execute(_KNOWN, {"sources": sources, "numbers": some})
        known.update((row[0], row[1], row[2]) for row in found)
    return known


_KNOWN = select(order_record.c.source_system, order_record.c.order_number, order_record.c.revision).where(
    order_record.c.source_system.in_(bindparam("sources", expanding=True)),
    order_record.c.order_number.in_(bindparam("numbers", expanding=True)),
)


def _columns(records: OrderRecords, observed_at: int) -> dict[str, bulk.Column]:
    return {
        "source_system": records.source_systems,
        "order_number": records.order_numbers,
        "revision": records.revisions,
        "subscriber_key": records.keys,
        "offer": records.offers,
        "change": records.changes,
        "amount_fen": records.amounts_fen,
        "accepted_at": records.accepted_at,
        "observed_at": [observed_at] * len(records),
    }


def records_of(rows: Sequence[Row[*tuple[Any, ...]]]) -> OrderRecords:
    """Rows of the RECORD columns."""
    columns = list(zip(*rows, strict=True)) or [()] * len(RECORD)
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
