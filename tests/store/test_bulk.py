"""The bulk sink does the same on every store."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from common.delivery.tables import erasure, order_record, stop, vault
from common.runtime.bulk import insert_new, lookup, upsert
from common.runtime.database import Database

KEYS = np.array([5, 7, 2**62], dtype=np.int64)


def _subscribers(keys: np.ndarray, msisdn: int) -> dict[str, object]:
    rows = len(keys)
    return {
        "subscriber_key": keys,
        "msisdn": np.full(rows, msisdn),
        "province": np.full(rows, 45, dtype=np.int16),
        "active": np.ones(rows, dtype=np.bool_),
    }


def test_only_new_keys_are_inserted(database: Database) -> None:
    with database.transaction() as connection:
        assert insert_new(connection, vault, _subscribers(KEYS, 1)) == 3
        assert insert_new(connection, vault, _subscribers(np.array([6, 7]), 2)) == 1
        rows = connection.execute(select(vault.c.subscriber_key, vault.c.msisdn).order_by(vault.c.subscriber_key)).all()
    assert [tuple(row) for row in rows] == [(5, 1), (6, 2), (7, 1), (2**62, 1)]


def test_upsert_overwrites_what_it_names(database: Database) -> None:
    with database.transaction() as connection:
        first = {"subscriber_key": KEYS, "scope": [0] * 3, "stopped_at": [1, 2, 3], "lifted": [False] * 3}
        insert_new(connection, stop, first)
        then = {"subscriber_key": [7, 8], "scope": [0, 0], "stopped_at": [9, 9], "lifted": [True, True]}
        upsert(connection, stop, then)
        named = (stop.c.subscriber_key, stop.c.scope, stop.c.stopped_at, stop.c.lifted)
        rows = connection.execute(select(*named).order_by(stop.c.subscriber_key)).all()
    assert [tuple(row) for row in rows] == [(5, 0, 1, False), (7, 0, 9, True), (8, 0, 9, True), (2**62, 0, 3, False)]


def test_lookup_finds_what_is_there_in_key_order(database: Database) -> None:
    with database.transaction() as connection:
        insert_new(connection, vault, _subscribers(KEYS, 1))
        found = lookup(connection, vault, "subscriber_key", np.array([2**62, 6, 5]), ["msisdn", "province"])
    assert found == [(5, 1, 45), (2**62, 1, 45)]


def test_text_keys_and_chinese_survive(database: Database) -> None:
    columns = {
        "source_system": ["BSS-45", "BSS-45"], "order_number": ["甲;'\"\t1", "2"], "revision": [1, 1],
        "subscriber_key": [1, 2], "offer": ["流量包", "x"], "change": [1, 3], "amount_fen": [-5, 2**40],
        "accepted_at": [0, 1], "observed_at": [1, 1],
    }  # fmt: skip
    with database.transaction() as connection:
        assert insert_new(connection, order_record, columns) == 2
        assert insert_new(connection, order_record, columns) == 0
        stored = (
            connection.execute(select(order_record.c.offer).order_by(order_record.c.subscriber_key)).scalars().all()
        )
    assert stored == ["流量包", "x"]


def test_no_rows_is_no_work(database: Database) -> None:
    with database.transaction() as connection:
        assert insert_new(connection, stop, {"subscriber_key": [], "stopped_at": [], "lifted": []}) == 0


def test_an_error_undoes_the_whole_transaction(database: Database) -> None:
    class Boom(Exception):
        pass

    with pytest.raises(Boom), database.transaction() as connection:
        insert_new(connection, vault, _subscribers(KEYS, 1))
        raise Boom
    with database.snapshot() as connection:
        assert connection.execute(select(vault.c.msisdn)).all() == []


def test_sqlite_keeps_what_it_acknowledged(database: Database) -> None:
    with database.snapshot() as connection:
        if connection.dialect.name == "sqlite":
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        else:
            assert connection.execute(text("SHOW fsync")).scalar() == "on"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(batches=st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=20), max_size=6))
def test_every_key_is_kept_once_however_often_it_comes(database: Database, batches: list[list[int]]) -> None:
    with database.transaction() as connection:
        connection.execute(erasure.delete())
        never = [False] * 20
        fresh = sum(
            insert_new(connection, erasure, {"subscriber_key": b, "erased_at": [1] * len(b), "lifted": never[: len(b)]})
            for b in batches
        )
        kept = set(connection.execute(select(erasure.c.subscriber_key)).scalars())
    assert kept == {key for batch in batches for key in batch}
    assert fresh == len(kept)
