from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.delivery import stops, vault
from common.runtime.database import Database

entries = st.lists(st.tuples(st.integers(1, 6), st.integers(100, 104), st.booleans()), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=entries, cuts=st.lists(st.integers(1, 29), max_size=3))
def test_the_latest_stop_or_lifting_wins_in_any_batches(sqlite: Database, undone: Any, entries: Any, cuts: Any) -> None:
    expected: dict[int, tuple[int, bool]] = {}
    for key, at, lifted in entries:
        # Of two at once the stop wins, so "not lifted" ranks higher.
        expected[key] = max(expected.get(key, (0, True)), (at, lifted), key=lambda known: (known[0], not known[1]))
    with undone(sqlite) as connection:
        for part in np.split(np.array(entries, dtype=np.int64), sorted({cut for cut in cuts if cut < len(entries)})):
            stops.put_stops(connection, part[:, 0], part[:, 1], part[:, 2].astype(np.bool_))
        keys, times, lifted = stops.all_stops(connection)
        assert dict(zip(keys.tolist(), zip(times.tolist(), lifted.tolist(), strict=True), strict=True)) == expected
        standing = sorted(key for key, (_, lifted) in expected.items() if not lifted and 2 <= key <= 5)
        assert stops.stopped_between(connection, 2, 5).tolist() == standing


def test_a_stop_known_already_is_no_news(database: Database) -> None:
    keys, none = np.array([5, 3]), np.zeros(2, dtype=np.bool_)
    with database.transaction() as connection:
        assert sorted(stops.put_stops(connection, keys, np.array([10, 10]), none).tolist()) == [0, 1]
        assert stops.put_stops(connection, keys, np.array([10, 11]), none).tolist() == [1]
        assert stops.put_stops(connection, keys, np.array([9, 9]), ~none).tolist() == []
        assert stops.stopped_between(connection, 0, 9).tolist() == [3, 5]


def test_of_a_stop_and_a_lifting_at_one_moment_the_stop_stands(database: Database) -> None:
    keys, at = np.array([5]), np.array([10])
    for lifted in (True, False, True):
        with database.transaction() as connection:
            stops.put_stops(connection, keys, at, np.array([lifted]))
    with database.snapshot() as connection:
        assert stops.stopped_between(connection, 0, 9).tolist() == [5]


def test_numbers_come_back_aligned_with_the_keys_asked(database: Database) -> None:
    with database.transaction() as connection:
        added, clashes = vault.put_subscribers(connection, np.array([30, 10, 20]), np.array([3, 1, 2]), 45)
        assert (added, clashes.tolist()) == (3, [])
        numbers, known = vault.numbers(connection, np.array([20, 99, 10, 20]))
        assert numbers.tolist() == [2, 0, 1, 2]
        assert known.tolist() == [True, False, True, True]


def test_a_key_never_changes_its_number(database: Database) -> None:
    with database.transaction() as connection:
        vault.put_subscribers(connection, np.array([10, 20]), np.array([1, 2]), 45)
        keys, numbers = np.array([20, 10, 30, 30]), np.array([7, 1, 3, 4])
        added, clashes = vault.put_subscribers(connection, keys, numbers, np.array([13, 13, 13, 13]))
        assert (added, clashes.tolist()) == (1, [0, 3])
        assert vault.numbers(connection, np.array([10, 20, 30]))[0].tolist() == [1, 2, 3]
        assert vault.provinces_of(connection, np.array([30, 20, 10, 9])).tolist() == [13, 45, 13, 0]
        assert vault.keys_of_province(connection, 13).tolist() == [10, 30]


def test_who_left_is_inactive_until_back(database: Database) -> None:
    keys = np.arange(1, 2001)
    with database.transaction() as connection:
        vault.put_subscribers(connection, keys, keys + 100, 45)
        vault.set_active(connection, np.append(keys[:1500], 9999), np.zeros(1501, dtype=np.bool_))
        vault.set_active(connection, np.array([3, 4, 4]), np.array([True, True, False]))
        vault.put_subscribers(connection, np.array([5]), np.array([105]), 45)
        assert vault.inactive_between(connection, 2, 6).tolist() == [2, 4, 5, 6]
        assert len(vault.inactive_between(connection, 0, 10_000)) == 1499
