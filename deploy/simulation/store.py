"""A node's store in memory: the nodes' own SQL on SQLite, with backups that take microseconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import Connection, MetaData, StaticPool, create_engine

import common.courier.tables
import common.delivery.tables
import hq.store.tables
import province.store.tables
from common.kernel.work_order import HQ_NODE
from deploy.simulation.connection import FastConnection

_COMMON = (common.courier.tables.metadata, common.delivery.tables.metadata)

Backup = sqlite3.Connection
"""Not the bytes of one: SQLite 3.40 crashes where `deserialize` meets a statement that was prepared before."""


WATCHED = ("stop", "work_order", "task_block", "policy", "log")


class Store:
    """`changed`: the watched tables that were written to since it was last cleared, be it in vain. `connection` is
    SQLAlchemy's own, for who looks with SQL of theirs.
    """

    def __init__(self, *declared: MetaData) -> None:
        engine = create_engine(
            "sqlite://", poolclass=StaticPool, pool_reset_on_return=None, connect_args={"cached_statements": 2_000}
        )
        for tables in declared:
            tables.create_all(engine)
        self.connection = engine.connect()
        self._raw: sqlite3.Connection = self.connection.connection.driver_connection  # type: ignore[assignment]
        # The driver's own transaction handling would begin and commit unasked.
        self._raw.isolation_level = None
        self._fast: Any = FastConnection(self._raw, self.connection)
        self.changed = set(WATCHED)
        self._raw.create_function("noted", 1, self.changed.add)
        for table in sorted(self.changed & {table.name for tables in declared for table in tables.sorted_tables}):
            for event in ("INSERT", "UPDATE", "DELETE"):
                self._raw.execute(
                    f"CREATE TEMP TRIGGER {table}_{event} AFTER {event} ON main.{table} "
                    f"BEGIN SELECT noted('{table}'); END"
                )
        self._empty = self.backup()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        self._raw.execute("BEGIN")
        try:
            yield self._fast
        except BaseException:
            self._raw.execute("ROLLBACK")
            raise
        self._raw.execute("COMMIT")

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Without a transaction: nothing happens at the same time."""
        yield self._fast

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """For witnesses, who look without the nodes' code."""
        return self._raw.execute(statement, values).fetchall()

    def backup(self) -> Backup:
        copy = sqlite3.connect(":memory:")
        self._raw.backup(copy)
        return copy

    def restore(self, backup: Backup) -> None:
        backup.backup(self._raw)
        self.changed.update(WATCHED)

    def clear(self) -> None:
        self.restore(self._empty)


@cache
def store_of(node: str) -> Store:
    """One for each node and process: a seed begins by clearing it, and what was compiled is kept."""
    own = hq.store.tables.metadata if node == HQ_NODE else province.store.tables.metadata
    return Store(*_COMMON, own)
