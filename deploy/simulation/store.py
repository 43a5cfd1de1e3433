"""A node's store in memory: the nodes' own SQL on SQLite, with backups that take microseconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import Connection, MetaData, StaticPool, create_engine, event

import common.courier.tables
import common.delivery.tables
import hq.store.tables
import province.store.tables
from common.kernel.work_order import HQ_NODE

_COMMON = (common.courier.tables.metadata, common.delivery.tables.metadata)

Backup = sqlite3.Connection
"""Not the bytes of one: SQLite 3.40 crashes where `deserialize` meets a statement that was prepared before."""


class Store:
    def __init__(self, *declared: MetaData) -> None:
        self._engine = create_engine("sqlite://", poolclass=StaticPool, pool_reset_on_return=None)
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        for tables in declared:
            tables.create_all(self._engine)
        self._raw: sqlite3.Connection = self._engine.raw_connection().driver_connection  # type: ignore[assignment]
        self._reader = create_engine("sqlite://", poolclass=StaticPool, pool_reset_on_return=None, creator=self._held)
        self._empty = self.backup()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Without a transaction: nothing happens at the same time."""
        with self._reader.connect() as connection:
            yield connection

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """For witnesses, who look without the nodes' code."""
        return self._raw.execute(statement, values).fetchall()

    def backup(self) -> Backup:
        copy = sqlite3.connect(":memory:")
        self._raw.backup(copy)
        return copy

    def restore(self, backup: Backup) -> None:
        backup.backup(self._raw)

    def _held(self) -> sqlite3.Connection:
        return self._raw

    def clear(self) -> None:
        self.restore(self._empty)


@cache
def store_of(node: str) -> Store:
    """One for each node and process: a seed begins by clearing it, and what SQLAlchemy compiled is kept."""
    own = hq.store.tables.metadata if node == HQ_NODE else province.store.tables.metadata
    return Store(*_COMMON, own)


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
