"""A node's store: one SQLite file or one PostgreSQL database, one writer, blocking work off the event loop."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import ArgumentError

from common.kernel.refusal import invalid

T = TypeVar("T")

SQLITE_BUSY_SECONDS = 30
READERS = 2


class Database:
    """`url` is an SQLAlchemy URL, `sqlite:///…` or `postgresql+psycopg://…`.

    SQLite runs in WAL mode with synchronous FULL: what a transaction committed survives a power cut.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._writes = _engine(url, "BEGIN IMMEDIATE")
        self._reads = _engine(url, "BEGIN")
        self._writer = ThreadPoolExecutor(1, "store-write")
        self._readers = ThreadPoolExecutor(READERS, "store-read")
        self.busy_seconds: defaultdict[str, float] = defaultdict(float)
        """How long each kind of work (by function) kept a store thread."""

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A write transaction on the calling thread: commits at the end, rolls back on any exception."""
        with self._writes.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A consistent view for reading on the calling thread."""
        with self._reads.begin() as connection:
            yield connection

    async def write(self, work: Callable[..., T], *arguments: Any) -> T:
        """`work(connection, *arguments)` in one transaction on the node's one writer thread."""
        return await asyncio.get_running_loop().run_in_executor(
            self._writer, self._within, self.transaction, work, arguments
        )

    async def read(self, work: Callable[..., T], *arguments: Any) -> T:
        """`work(connection, *arguments)` over one snapshot, beside the writer."""
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, self._within, self.snapshot, work, arguments
        )

    def _within(self, scope: Callable[[], Any], work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        begun = time.perf_counter()
        try:
            with scope() as connection:
                return work(connection, *arguments)
        finally:
            self.busy_seconds[work.__qualname__] += time.perf_counter() - begun

    def write_busy_seconds(self, path: Path) -> None:
        """Leave `busy_seconds` as JSON, for whoever wants to know where a node's time went."""
        path.write_text(json.dumps(self.busy_seconds), encoding="utf-8")

    def create(self, *metadata: MetaData) -> None:
        """Create missing tables as declared; for tests and throw-away nodes (real nodes migrate)."""
        with self.transaction() as connection:
            for tables in metadata:
                tables.create_all(connection)

    def close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._writes.dispose()
        self._reads.dispose()


def _engine(url: str, begin: str) -> Engine:
    try:
        engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_SECONDS} if url.startswith("sqlite") else {})
    except (ArgumentError, ImportError) as error:
        message = f"database_url is no address of a store we know ({error}); give postgresql+psycopg://… or sqlite:///…"
        raise invalid(message) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction handling would open transactions late and as readers.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
