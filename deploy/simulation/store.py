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


class Store:
    def __init__(self, *declared: MetaData) -> None:
        self._engine = create_engine("sqlite://", poolclass=StaticPool, pool_reset_on_return=None)
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        for tables in declared:
            tables.create_all(self._engine)
        self._raw: sqlite3.Connection = self._engine.raw_connection().driver_connection  # type: ignore[assignment]
        self._empty = self.image()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """For witnesses, who look without the nodes' code."""
        return self._raw.execute(statement, values).fetchall()

    def image(self) -> bytes:
        return self._raw.serialize()

    def restore(self, image: bytes) -> None:
        self._raw.deserialize(image)

    def clear(self) -> None:
        self.restore(self._empty)


@cache
def store_of(node: str) -> Store:
    """One for each node and process: a seed begins by clearing it, and what SQLAlchemy compiled is kept."""
    own = hq.store.tables.metadata if node == HQ_NODE else province.store.tables.metadata
    return Store(*_COMMON, own)


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
