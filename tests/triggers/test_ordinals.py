"""Places by key and number, and the ids that were seen."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from province.triggers.counting.id_set import IdSet
from province.triggers.counting.ordinals import KEYS, NOBODY, NUMBERS, Ordinals

SMALL = st.integers(0, 5)
KEY = st.one_of(SMALL, st.integers(0, 2**63 - 1), st.integers(0, 50).map(lambda each: each << 40))
PAIRS = st.lists(st.lists(st.tuples(KEY, st.integers(-3, 5)), max_size=40), max_size=6)
IDS = st.lists(st.lists(st.one_of(SMALL, st.integers(0, 2**64 - 1)), max_size=40), max_size=6)


@given(PAIRS)
def test_places_are_given_in_order_of_arrival_and_found_again(batches: list[list[tuple[int, int]]]) -> None:
    table, places = Ordinals(np.int32), dict[tuple[int, int], int]()
    for batch in batches:
        fresh = []
        for row, pair in enumerate(batch):
            if pair not in places:
                places[pair] = len(places) + 1
                fresh.append(row)
        keys, numbers = _columns(batch)
        got, first = table.add(keys, numbers)
        assert got.tolist() == [places[pair] for pair in batch]
        assert first.tolist() == fresh
    keys, numbers = _columns(places)
    assert table.find(keys, numbers).tolist() == list(places.values())
    assert table.find(keys, numbers + 100).tolist() == [NOBODY] * len(places)
    assert len(table) == len(places)


@given(PAIRS, st.integers(-3, 6))
def test_what_is_forgotten_is_only_what_may_be(batches: list[list[tuple[int, int]]], below: int) -> None:
    table, pairs = Ordinals(np.int64, {"value": 0}), set[tuple[int, int]]()
    for batch in batches:
        keys, numbers = _columns(batch)
        places, _ = table.add(keys, numbers)
        table["value"][places] = keys ^ numbers
        pairs |= set(batch)
        table.forget(below)
        kept = {pair for pair in pairs if pair[1] >= below}
        keys, numbers = _columns(sorted(kept))
        places = table.find(keys, numbers)
        assert (places != NOBODY).all()
        assert (table["value"][places] == keys ^ numbers).all()


def test_most_of_what_may_be_forgotten_is() -> None:
    table, keys = Ordinals(np.int32), np.arange(100_000)
    for number in range(50):
        table.add(keys, np.full(len(keys), number))
        table.forget(number)
    assert len(table) <= 2 * len(keys)
    assert table.bytes < 100 * len(keys)


def test_places_survive_many_growths() -> None:
    keys = np.random.default_rng(1).integers(0, 1 << 62, 300_000)
    table = Ordinals(np.int32, {"value": 7})
    for start in range(0, len(keys), 1000):
        table.add(keys[start : start + 1000], np.ones(1000, dtype=np.int64))
    places = table.find(keys, np.ones(len(keys), dtype=np.int64))
    assert places.tolist() == list(range(1, len(keys) + 1))
    assert (table[KEYS][places] == keys).all()
    assert (table[NUMBERS][places] == 1).all()
    assert (table["value"][places] == 7).all()


@given(IDS)
def test_an_id_is_new_once(batches: list[list[int]]) -> None:
    ids, seen = IdSet(60_000), set[int]()
    for batch in batches:
        wanted = []
        for each in batch:
            wanted.append(each not in seen)
            seen.add(each)
        assert ids.take(np.array(batch, dtype=np.uint64), np.full(len(batch), 5)).tolist() == wanted
    assert len(ids) == len(seen)


@given(st.integers(0, 2**32), st.lists(st.integers(0, 1500), max_size=8), st.sampled_from((10, 2000, 2**64)))
def test_however_many_come_an_id_is_new_once(seed: int, sizes: list[int], span: int) -> None:
    """Over three generations, each of them restored now and then."""
    dice, ids, seen = np.random.default_rng(seed), IdSet(40), set[int]()
    for turn, size in enumerate(sizes):
        batch, wanted = dice.integers(0, span, size, dtype=np.uint64), []
        for each in batch.tolist():
            wanted.append(each not in seen)
            seen.add(each)
        assert ids.take(batch, np.full(size, turn * 10)).tolist() == wanted
        ids.forget(turn * 10)
        if dice.random() < 0.2:
            kept, ids = ids.columns(), IdSet(40)
            ids.restore(kept)
    assert len(ids) == len(seen)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100), st.integers(0, 100)), max_size=60))
def test_an_id_is_held_as_long_as_it_may_come_again(log: list[tuple[int, int, int]]) -> None:
    """Each event has the time that its id had first; time passes by what comes between."""
    lateness, ids, times, newest = 50, IdSet(50), dict[int, int](), 0
    held = set[int]()
    for each, after, passed in log:
        at = times.setdefault(each, newest + after - 50)
        newest = max(newest + passed, at)
        if at >= newest - lateness:
            (new,) = ids.take(np.array([each], dtype=np.uint64), np.array([at]))
            assert new == (each not in held)
            held.add(each)
        ids.forget(newest)


def test_ids_take_no_more_room_than_those_within_the_lateness() -> None:
    ids, dice = IdSet(60_000), np.random.default_rng(1)
    for second in range(1000):
        ids.take(dice.integers(0, 1 << 64, 1000, dtype=np.uint64), np.full(1000, second * 1000))
        ids.forget(second * 1000)
    assert len(ids) < 3 * 60 * 1000
    assert ids.bytes < 30 * 3 * 60 * 1000


@given(IDS)
def test_equal_sets_give_equal_columns(batches: list[list[int]]) -> None:
    ids = IdSet(60_000)
    for turn, batch in enumerate(batches):
        ids.take(np.array(batch, dtype=np.uint64), np.full(len(batch), turn * 50_000))
        ids.forget(turn * 50_000)
    kept, again = ids.columns(), IdSet(60_000)
    again.restore(kept)
    for name, column in again.columns().items():
        np.testing.assert_array_equal(column, kept[name], strict=True)


def _columns(pairs: Iterable[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    listed = list(pairs)
    return np.array([key for key, _ in listed], dtype=np.int64), np.array([each for _, each in listed], dtype=np.int64)
