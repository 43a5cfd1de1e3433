from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.courier import cursor
from common.courier.cursor import NOWHERE, Apply, Gap, Place, Repeat, Stale, admit
from common.runtime.database import Database

numbers = st.integers(1, 50)


@given(at=st.integers(0, 50), first=numbers, length=st.integers(0, 20))
def test_within_an_epoch_every_entry_is_applied_once_and_in_order(at: int, first: int, length: int) -> None:
    last = first + length
    match admit(Place(3, at, 9), 3, first, last):
        case Apply(skip):
            assert first + skip == at + 1
            assert last > at
        case Repeat():
            assert last <= at
        case Gap(expected):
            assert expected == at + 1 < first
        case Stale():
            raise AssertionError("the epoch is current")


@given(at=st.integers(0, 50), first=numbers)
def test_a_newer_epoch_starts_at_one(at: int, first: int) -> None:
    assert admit(Place(3, at, 9), 4, first, first + 2) == (Apply(0) if first == 1 else Gap(1))


def test_an_older_epoch_is_over() -> None:
    assert admit(Place(3, 7, 9), 2, 8, 9) == Stale()


def test_the_place_is_nowhere_until_it_was_put(database: Database) -> None:
    with database.transaction() as connection:
        assert cursor.load(connection, "45", "results") == NOWHERE
        cursor.put(connection, "45", "results", Place(1, 5, 77))
        cursor.put(connection, "45", "results", Place(1, 6, 78))
        assert cursor.load(connection, "45", "results") == Place(1, 6, 78)
        assert cursor.load(connection, "13", "results") == NOWHERE
