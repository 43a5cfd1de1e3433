from __future__ import annotations

from contextlib import suppress

import pytest
from sqlalchemy import Connection

from common.courier import log
from common.courier.cursor import NOWHERE, Place
from common.runtime.database import Database

PEER, STREAM, NOW = "45", "control", 1_790_000_000
PLENTY = 1_000_000


def append(connection: Connection, *payloads: bytes) -> int:
    return log.append(connection, PEER, STREAM, payloads, NOW)


def read(connection: Connection, after: int, entries: int = 100, size: int = PLENTY) -> list[bytes]:
    return [entry.payload for entry in log.read_after(connection, PEER, STREAM, after, entries, size)]


def place(connection: Connection, sequence: int) -> Place:
    at = log.position(connection, PEER, STREAM)
    if sequence == 0:
        return Place(at.epoch, 0, 0)
    (entry,) = log.read_after(connection, PEER, STREAM, sequence - 1, 1, PLENTY)
    return Place(at.epoch, entry.sequence, entry.chain)


def test_entries_are_numbered_from_one_and_read_in_order(database: Database) -> None:
    with database.transaction() as connection:
        assert append(connection, b"a", b"b") == 2
        assert append(connection) == 2
        assert append(connection, b"c") == 3
        assert read(connection, 0) == [b"a", b"b", b"c"]
        assert read(connection, 2) == [b"c"]


def test_logs_of_other_readers_and_streams_are_apart(database: Database) -> None:
    with database.transaction() as connection:
        append(connection, b"a")
        assert log.append(connection, "13", STREAM, [b"x"], NOW) == 1
        assert log.append(connection, PEER, "orders", [b"y"], NOW) == 1
        assert read(connection, 0) == [b"a"]


def test_a_read_stays_within_its_limits_and_always_moves(database: Database) -> None:
    with database.transaction() as connection:
        append(connection, b"12345", b"678", b"9")
        assert read(connection, 0, entries=2) == [b"12345", b"678"]
        assert read(connection, 0, size=8) == [b"12345", b"678"]
        assert read(connection, 0, size=1) == [b"12345"]


def test_a_change_that_fails_leaves_no_entry(database: Database) -> None:
    def fails(connection: Connection) -> None:
        append(connection, b"a")
        raise RuntimeError

    with suppress(RuntimeError), database.transaction() as connection:
        fails(connection)
    with database.snapshot() as connection:
        assert log.position(connection, PEER, STREAM) == log.NEW


def test_only_what_the_reader_has_is_dropped_step_by_step(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "COMPACT_ENTRIES_MAX", 2)
    with database.transaction() as connection:
        append(connection, *(b"%d" % n for n in range(1, 6)))
        fourth, third = place(connection, 4), place(connection, 3)
        assert log.commit(connection, PEER, STREAM, third)
        assert [log.compact(connection, PEER, STREAM) for _ in range(3)] == [2, 1, 0]
        assert log.in_step(connection, PEER, STREAM, third)
        assert read(connection, 3) == [b"4", b"5"]
        assert log.commit(connection, PEER, STREAM, fourth)
        assert log.compact(connection, PEER, STREAM) == 1
        assert read(connection, 4) == [b"5"]


def test_an_old_commit_takes_nothing_back(database: Database) -> None:
    with database.transaction() as connection:
        append(connection, b"a", b"b")
        first, second = place(connection, 1), place(connection, 2)
        assert log.commit(connection, PEER, STREAM, second)
        assert log.commit(connection, PEER, STREAM, first)
        assert log.position(connection, PEER, STREAM).committed == 2


def test_a_reader_behind_compaction_is_out_of_step(database: Database) -> None:
    with database.transaction() as connection:
        append(connection, b"a", b"b", b"c")
        first, last = place(connection, 1), place(connection, 3)
        log.commit(connection, PEER, STREAM, last)
        log.compact(connection, PEER, STREAM)
        assert not log.in_step(connection, PEER, STREAM, first)
        assert not log.went_back(connection, PEER, STREAM, first)
        assert not log.in_step(connection, PEER, STREAM, NOWHERE)


def test_a_log_that_went_back_is_found_out_even_when_it_has_grown_past_its_reader(database: Database) -> None:
    with database.transaction() as connection:
        append(connection, b"a", b"lost")
        held = place(connection, 2)
    with database.transaction() as connection:  # as a backup would bring it back
        connection.exec_driver_sql("DELETE FROM log_entry WHERE sequence = 2")
        connection.exec_driver_sql("UPDATE log SET head = 1")
        append(connection, b"new", b"newer")
        assert log.position(connection, PEER, STREAM).head > held.sequence
        assert not log.commit(connection, PEER, STREAM, held)
        assert log.went_back(connection, PEER, STREAM, held)


def test_a_new_epoch_numbers_what_is_kept_from_one(database: Database) -> None:
    with database.transaction() as connection:
        append(connection, b"a", b"b", b"c")
        log.commit(connection, PEER, STREAM, place(connection, 1))
        log.compact(connection, PEER, STREAM)
        raised = log.raise_epoch(connection, PEER, STREAM, above=7)
        assert (raised.epoch, raised.oldest, raised.head, raised.committed) == (8, 1, 2, 0)
        assert log.position(connection, PEER, STREAM) == raised
        assert read(connection, 0) == [b"b", b"c"]
        assert append(connection, b"d") == 3
