"""Whoever reads sees the store as it was at one moment, whatever is committed meanwhile."""

from __future__ import annotations

from sqlalchemy import Connection

from common.courier import log
from common.runtime.database import Database

PEER, STREAM = "hq", "control"


def test_what_is_committed_between_two_statements_of_a_reader_is_not_seen(database: Database) -> None:
    with database.transaction() as connection:
        log.append(connection, PEER, STREAM, [b"one", b"two"], 0)
    with database.snapshot() as reader:
        first = log.position(reader, PEER, STREAM)
        with database.transaction() as writer:
            _confirm_all(writer)
        assert log.position(reader, PEER, STREAM) == first
        assert len(log.read_after(reader, PEER, STREAM, 0, 9, 9_000)) == 2


def test_a_reader_is_not_out_of_step_because_its_place_is_confirmed_meanwhile(database: Database) -> None:
    with database.transaction() as connection:
        log.append(connection, PEER, STREAM, [b"one", b"two"], 0)
    with database.snapshot() as reader:
        at = log.position(reader, PEER, STREAM)
        place = log.head_place(reader, PEER, STREAM, at)
        with database.transaction() as writer:
            _confirm_all(writer)
        assert log.in_step(reader, PEER, STREAM, place, at)


def _confirm_all(connection: Connection) -> None:
    log.commit(connection, PEER, STREAM, log.head_place(connection, PEER, STREAM))
    log.compact(connection, PEER, STREAM)
