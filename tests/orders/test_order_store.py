"""Order records are kept once, and the order they come in changes nothing."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.delivery.orders import orders_of_offer, owners_between, put_orders
from common.delivery.source_place import place, set_place
from common.delivery.tables import order_record
from common.kernel.order import OrderChange, OrderRecords
from common.runtime.database import Database

SUBSCRIBED, UNSUBSCRIBED, REVERSED = OrderChange
FIRST, LAST = 0, 2**63 - 1


def _records(*rows: tuple[str, int, int, OrderChange]) -> OrderRecords:
    """(order number, revision, key, change) of one source and offer."""
    return OrderRecords(
        ["cbss"] * len(rows),
        [row[0] for row in rows],
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.int64),
        ["5g"] * len(rows),
        np.array([row[3] for row in rows], dtype=np.uint8),
        np.full(len(rows), 5900, dtype=np.int64),
        np.array([1000 + row[1] for row in rows], dtype=np.uint32),
    )


def _owners(database: Database, first: int = FIRST, last: int = LAST, offer: str = "5g") -> list[int]:
    with database.snapshot() as connection:
        return owners_between(connection, offer, first, last).tolist()


def _put(database: Database, records: OrderRecords) -> list[bool]:
    with database.transaction() as connection:
        return put_orders(connection, records, 2000).tolist()


def test_a_record_is_new_once_within_a_batch_and_between_batches(database: Database) -> None:
    one, two = ("a", 1, 7, SUBSCRIBED), ("b", 1, 8, SUBSCRIBED)
    assert _put(database, _records(one, two, one)) == [True, True, False]
    assert _put(database, _records(two, ("a", 2, 7, REVERSED), one)) == [False, True, False]
    assert _put(database, _records()) == []


def test_a_stored_record_never_changes(database: Database) -> None:
    _put(database, _records(("a", 1, 7, SUBSCRIBED)))
    _put(database, _records(("a", 1, 9, REVERSED)))
    assert _owners(database) == [7]


def test_one_number_at_two_sources_is_two_orders(database: Database) -> None:
    records = _records(("a", 1, 7, SUBSCRIBED), ("a", 1, 8, SUBSCRIBED))
    records.source_systems[1] = "bss-45"
    assert _put(database, records) == [True, True]
    assert _owners(database) == [7, 8]


def test_owners_are_told_for_the_range_and_the_offer_asked(database: Database) -> None:
    _put(database, _records(*((f"n{key}", 1, key, SUBSCRIBED) for key in (9, 2, 5, LAST))))
    assert _owners(database) == [2, 5, 9, LAST]
    assert _owners(database, 3, 9) == [5, 9]
    assert _owners(database, offer="other") == []


def test_who_cancelled_one_of_two_orders_still_owns(database: Database) -> None:
    _put(database, _records(("a", 1, 7, SUBSCRIBED), ("b", 1, 7, SUBSCRIBED), ("a", 2, 7, UNSUBSCRIBED)))
    assert _owners(database) == [7]
    _put(database, _records(("b", 3, 7, UNSUBSCRIBED)))
    assert _owners(database) == []


def test_a_reversal_that_comes_before_its_order_undoes_it(database: Database) -> None:
    _put(database, _records(("a", 2, 7, REVERSED)))
    _put(database, _records(("a", 1, 7, SUBSCRIBED)))
    assert _owners(database) == []
    _put(database, _records(("a", 3, 7, SUBSCRIBED)))
    assert _owners(database) == [7]


def test_orders_come_back_as_they_were_put(database: Database) -> None:
    put = _records(("甲1", 1, LAST, SUBSCRIBED), ("b", 2, 3, REVERSED))
    _put(database, put)
    with database.snapshot() as connection:
        read, none = orders_of_offer(connection, "5g"), orders_of_offer(connection, "other")
    read = read.take(np.argsort(-read.keys))
    assert (read.order_numbers, read.revisions.tolist(), read.changes.tolist()) == (["甲1", "b"], [1, 2], [1, 3])
    assert (read.keys.tolist(), read.accepted_at.tolist()) == ([LAST, 3], [1001, 1002])
    assert len(none) == 0


def test_a_place_is_kept_for_each_source_and_feed(database: Database) -> None:
    with database.transaction() as connection:
        assert place(connection, "cbss", "orders") == ""
        set_place(connection, "cbss", "orders", "17")
        set_place(connection, "cbss", "pool", "x")
        set_place(connection, "cbss", "orders", "18")
        assert (place(connection, "cbss", "orders"), place(connection, "cbss", "pool")) == ("18", "x")


_revisions = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(1, 4), st.integers(1, 5), st.sampled_from(OrderChange)),
    unique_by=lambda row: row[:2],
    max_size=14,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(_revisions, st.randoms(use_true_random=False))
def test_owners_are_the_same_whatever_the_order_of_arrival(
    database: Database, rows: list[tuple[str, int, int, OrderChange]], chance: random.Random
) -> None:
    number_key = {"a": 1, "b": 2, "c": 1, "d": 3}
    rows = [(number, revision, number_key[number], change) for number, revision, _, change in rows]
    last = {number: max(row for row in rows if row[0] == number) for number, *_ in rows}
    expected = sorted({row[2] for row in last.values() if row[3] == SUBSCRIBED})
    arrival = rows + chance.sample(rows, k=len(rows) // 2)
    chance.shuffle(arrival)
    with database.transaction() as connection:
        connection.execute(order_record.delete())
    for start in range(0, len(arrival), 4):
        _put(database, _records(*arrival[start : start + 4]))
    assert _owners(database) == expected
