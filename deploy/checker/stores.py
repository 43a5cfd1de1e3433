"""Reads nodes' stores, SQLite files and PostgreSQL databases alike, without the nodes' own code."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.engine import make_url

from deploy.checker import policy_document
from deploy.checker.columns import places
from deploy.checker.world import (
    Block,
    Consents,
    Cursor,
    Grant,
    Ints,
    Log,
    Node,
    Orders,
    Policy,
    Scope,
    State,
    Stops,
    WorkOrder,
    ledger,
)

BUSY_SECONDS = 30
WRITE_SECONDS = 30
"""What came in may wait so long for its turn to be written."""
VAULT_ROWS = 200_000
"""So many are read at a time."""
_COLUMNS = {
    "keys": "<i8",
    "states": "u1",
    "reasons": "u1",
    "responses": "u1",
    "submitted_at": "<u4",
    "settled_at": "<u4",
}
_COUNTERS = [f"{state.name.lower()}_tasks" for state in State]
_BLOCK = ("work_order", "number", "first_key", "last_key", "tasks", "last_submitted_at", *_COUNTERS, *_COLUMNS)
_QUEUES = {"pending_command": "1 = 1", "local_request": "outcome = ''"}
"""Tables whose rows wait for something, by what says that they do."""

Rows = Sequence[Mapping[str, Any]]


@contextmanager
def snapshot(url: str) -> Iterator[Connection]:
    """One consistent view of a store for reading only. `url` is an SQLAlchemy URL or the path of an SQLite file."""
    engine = _sqlite(url) if "://" not in url or url.startswith("sqlite") else create_engine(url)
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")
            else:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection
    finally:
        engine.dispose()


def _sqlite(url: str) -> Engine:
    path = make_url(url).database if "://" in url else url

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None)

    return create_engine("sqlite://", creator=connect)


def node(connection: Connection, name: str) -> Node:
    """All of a node but its vendors' journal. Homes of order records are not known yet."""
    number, fenced_at = _incarnation(connection)
    return Node(
        name,
        tuple(_work_order(row) for row in _rows(connection, "work_order")),
        ledger([_block(row) for row in _rows(connection, "task_block", _BLOCK, "work_order, number")]),
        stops=_stops(connection),
        consents=_consents(_rows(connection, "consent")),
        orders=_orders(_rows(connection, "order_record")),
        policies=(policy_document.DEFAULT, *(_policy(row) for row in _rows(connection, "policy"))),
        logs=tuple(_log(connection, row) for row in _rows(connection, "log")),
        cursors=cursors(connection),
        grants=tuple(_grant(row) for row in _rows(connection, "grant_request")),
        incarnation=number,
        fenced_at=fenced_at,
        waiting=_waiting(connection),
    )


def cursors(connection: Connection) -> tuple[Cursor, ...]:
    return tuple(Cursor(**row) for row in _rows(connection, "cursor"))


def campaigns(connection: Connection) -> dict[str, str]:
    """Campaign files by name; none at a province."""
    return {row["name"]: row["yaml"] for row in _rows(connection, "campaign")}


@dataclass(frozen=True, slots=True)
class People:
    """What vaults say of some numbers and subscribers. `numbers` and `keys` ascend each for itself."""

    numbers: Ints
    keys_of_numbers: Ints
    """0 where no vault has the number."""
    homes_of_numbers: Ints
    keys: Ints
    homes_of_keys: Ints
    """0 also where somebody moved: they may have rows in two provinces."""


def people(connections: Sequence[Connection], numbers: Ints, keys: Ints) -> People:
    """Look them up in each vault, the first that has somebody says."""
    wanted, subscribers = np.unique(numbers), np.unique(keys)
    found = People(wanted, np.zeros_like(wanted), np.zeros_like(wanted), subscribers, np.zeros_like(subscribers))
    for connection in connections:
        for rows in _vault(connection):
            _note(found.numbers, rows[:, 1], found.keys_of_numbers, rows[:, 0])
            _note(found.numbers, rows[:, 1], found.homes_of_numbers, rows[:, 2])
            _note(found.keys, rows[:, 0], found.homes_of_keys, np.where(rows[:, 3] == 0, rows[:, 2], 0))
        if found.keys_of_numbers.all():
            break
    return found


def _note(wanted: Ints, held: Ints, into: Ints, values: Ints) -> None:
    at = places(held, wanted)
    fresh = at >= 0
    fresh[fresh] = into[at[fresh]] == 0
    into[at[fresh]] = values[fresh]


def _vault(connection: Connection) -> Iterator[Ints]:
    """Rows of (subscriber key, number, home, home since)."""
    if not inspect(connection).has_table("vault"):
        return
    statement = text("SELECT subscriber_key, msisdn, province, home_since FROM vault")
    with connection.execution_options(yield_per=VAULT_ROWS).execute(statement) as result:
        for part in result.partitions(VAULT_ROWS):
            yield np.array([tuple(row) for row in part], dtype=np.int64)


def _rows(connection: Connection, table: str, columns: Sequence[str] = ("*",), order: str = "") -> Rows:
    """None where the node keeps no such table."""
    if not inspect(connection).has_table(table):
        return []
    statement = f"SELECT {', '.join(columns)} FROM {table}" + (f" ORDER BY {order}" if order else "")  # noqa: S608
    return connection.execute(text(statement)).mappings().all()  # type: ignore[return-value]


def _column(rows: Rows, name: str) -> Ints:
    return np.array([row.get(name, 0) for row in rows], dtype=np.int64)


def _work_order(row: Mapping[str, Any]) -> WorkOrder:
    return WorkOrder(**{name: row[name] for name in WorkOrder.__slots__})


def _block(row: Mapping[str, Any]) -> Block:
    columns: dict[str, Any] = {name: _blob(row[name], kind) for name, kind in _COLUMNS.items()}
    plain = {
        name: row[name] for name in ("work_order", "number", "first_key", "last_key", "tasks", "last_submitted_at")
    }
    return Block(**plain, **columns, counters=tuple(row[name] for name in _COUNTERS))


def _blob(raw: bytes, kind: str) -> Ints:
    """Whole values only: a blob cut in the middle of one is a column too short."""
    size = np.dtype(kind).itemsize
    return np.frombuffer(raw[: len(raw) // size * size], kind)


def _stops(connection: Connection) -> Stops:
    """Erasures forbid every contact, and are taken for stops."""
    rows, erased = _rows(connection, "stop"), _rows(connection, "erasure")
    nothing = np.zeros(len(erased), dtype=np.int64)
    return Stops(
        np.append(_column(rows, "subscriber_key"), _column(erased, "subscriber_key")),
        np.append(_column(rows, "scope"), nothing + Scope.ERASED),
        np.append(_column(rows, "stopped_at"), _column(erased, "erased_at")),
        np.append(_column(rows, "lifted"), _column(erased, "lifted")),
        np.append(_heard(rows), np.zeros(len(erased), dtype=np.int64)),
    )


def _heard(rows: Rows) -> Ints:
    """When it must have been durable, where the node noted when it came in."""
    came_in = _column(rows, "heard_at")
    return np.where(came_in > 0, came_in + WRITE_SECONDS, 0)


def _consents(rows: Rows) -> Consents:
    places: dict[str, int] = {}
    refs = [places.setdefault(row["purpose"], len(places)) for row in rows]
    columns: dict[str, Any] = {name: _column(rows, name) for name in ("given_at", "expires_at", "withdrawn")}
    keys, refs_of = _column(rows, "subscriber_key"), np.array(refs, dtype=np.int64)
    return Consents(tuple(places), keys, refs_of, **columns, heard_at=_heard(rows))


def _orders(rows: Rows) -> Orders:
    return Orders(
        tuple((row["source_system"], row["order_number"], row["revision"]) for row in rows),
        tuple(row["offer"] for row in rows),
        _column(rows, "subscriber_key"),
        _column(rows, "change"),
        _column(rows, "accepted_at"),
        _column(rows, "observed_at"),
        np.zeros(len(rows), dtype=np.int64),
    )


def _policy(row: Mapping[str, Any]) -> Policy:
    if row["objection"]:
        digest = hashlib.sha256(row["document"].encode()).hexdigest()
        return Policy(row["version"], row["received_at"], applied=False, digest=digest)
    return policy_document.read(row["version"], row["document"], row["received_at"])


def _log(connection: Connection, row: Mapping[str, Any]) -> Log:
    statement = text(
        "SELECT sequence, payload, chain FROM log_entry WHERE peer = :peer AND stream = :stream ORDER BY sequence"
    )
    of = {"peer": row["peer"], "stream": row["stream"]}
    sequences, chains, sound = [], [], []
    before = row["base_chain"]
    with connection.execution_options(yield_per=100).execute(statement, of) as entries:
        for sequence, payload, chain in entries:
            sequences.append(sequence)
            chains.append(chain)
            # An epoch begun over keeps its entries and their chains, not what the first of them was linked to.
            begun_over = row["epoch"] > 1 and sequence == row["oldest"] == 1
            sound.append(begun_over or chain == _linked(before, payload))
            before = chain
    return Log(**row, sequences=_ints(sequences), chains=_ints(chains), sound=_ints(sound))


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def _linked(before: int, payload: bytes) -> int:
    digest = hashlib.blake2b(before.to_bytes(8, "big") + payload, digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _grant(row: Mapping[str, Any]) -> Grant:
    return Grant(row["province"], row["request_id"], row["work_order"])


def _incarnation(connection: Connection) -> tuple[int, int]:
    """The newest, and when the newest that began with a restore did."""
    rows = _rows(connection, "incarnation")
    return max((row["number"] for row in rows), default=1), max((row["fenced_at"] for row in rows), default=0)


def _waiting(connection: Connection) -> dict[str, int]:
    tables = [table for table in _QUEUES if inspect(connection).has_table(table)]
    counts = {table: text(f"SELECT count(*) FROM {table} WHERE {_QUEUES[table]}") for table in tables}  # noqa: S608
    return {table: int(connection.execute(statement).scalar_one()) for table, statement in counts.items()}
