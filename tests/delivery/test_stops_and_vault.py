from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.delivery import stops, vault
from common.kernel.stop import Stops, StopScope, stops_of
from common.runtime.database import Database

SCOPES = (StopScope.ALL, StopScope.REFUSED, StopScope.BLACKLIST, StopScope.CALL)
entries = st.lists(
    st.tuples(st.integers(2, 4), st.sampled_from(SCOPES), st.integers(100, 104), st.booleans()),
    min_size=6,
    max_size=30,
)


def stops_from(rows: Any) -> Stops:
    """Rows of (key, scope, moment, lifted)."""
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return Stops(table[:, 0], table[:, 2].astype(np.uint32), table[:, 3] == 1, table[:, 1].astype(np.uint8))


def stop_of(keys: list[int], at: list[int], *, lifted: bool = False) -> Stops:
    return stops_of(np.array(keys), np.array(at), np.full(len(keys), lifted))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=entries, cuts=st.lists(st.integers(1, 29), min_size=1, max_size=4))
def test_the_latest_stop_or_lifting_of_a_scope_wins_in_any_batches(
    sqlite: Database, undone: Any, entries: Any, cuts: Any
) -> None:
    expected: dict[tuple[int, int], tuple[int, bool]] = {}
    for key, scope, at, lifted in entries:
        # Of two at once the stop wins, so "not lifted" ranks higher.
        known = expected.get((key, scope), (0, True))
        expected[key, scope] = max(known, (at, lifted), key=lambda each: (each[0], not each[1]))
    with undone(sqlite) as connection:
        for part in np.split(np.array(entries, dtype=np.int64), sorted({cut for cut in cuts if cut < len(entries)})):
            stops.put_stops(connection, stops_from(part))
        known = stops.all_stops(connection)
        stored = zip(known.keys.tolist(), known.scopes.tolist(), known.stopped_at.tolist(), known.lifted, strict=True)
        assert {(key, scope): (at, bool(lifted)) for key, scope, at, lifted in stored} == expected
        keys, scopes, stopped_at = stops.standing_between(connection, 3, 4)
        standing = sorted((*of, at) for of, (at, lifted) in expected.items() if not lifted and 3 <= of[0] <= 4)
        assert list(zip(keys.tolist(), scopes.tolist(), stopped_at.tolist(), strict=True)) == standing


def test_a_stop_known_already_is_no_news(database: Database) -> None:
    with database.transaction() as connection:
        assert sorted(stops.put_stops(connection, stop_of([5, 3], [10, 10])).tolist()) == [0, 1]
        assert stops.put_stops(connection, stop_of([5, 3], [10, 11])).tolist() == [1]
        assert stops.put_stops(connection, stop_of([5, 3], [9, 9], lifted=True)).tolist() == []
        assert stops.standing_between(connection, 0, 9)[0].tolist() == [3, 5]


def test_an_older_word_on_a_scope_never_overwrites_a_newer_one(database: Database) -> None:
    for scope in StopScope:
        for at, lifted, news in ((10, False, [0]), (9, True, []), (12, True, [0]), (11, False, []), (12, False, [0])):
            with database.transaction() as connection:
                said = stops_from([(5, scope, at, lifted)])
                assert stops.put_stops(connection, said).tolist() == news, (scope, at)
    with database.snapshot() as connection:
        assert stops.standing_between(connection, 5, 5)[1].tolist() == [int(scope) for scope in StopScope]


def test_one_scope_says_nothing_of_another(database: Database) -> None:
    rows = [(5, StopScope.ALL, 10, 0), (5, StopScope.CALL, 10, 0), (5, StopScope.ALL, 11, 1), (4, StopScope.CALL, 9, 1)]
    with database.transaction() as connection:
        assert sorted(stops.put_stops(connection, stops_from(rows)).tolist()) == [1, 2, 3]
        keys, scopes, _ = stops.standing_between(connection, 0, 9)
        assert (keys.tolist(), scopes.tolist()) == ([5], [StopScope.CALL])


def test_of_a_stop_and_a_lifting_at_one_moment_the_stop_stands(database: Database) -> None:
    for lifted in (True, False, True):
        with database.transaction() as connection:
            stops.put_stops(connection, stop_of([5], [10], lifted=lifted))
    with database.snapshot() as connection:
        assert stops.standing_between(connection, 0, 9)[0].tolist() == [5]


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
