"""A node's store: one SQLite file or one PostgreSQL database, one writer, blocking work off the event loop."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from common.kernel.refusal import invalid
from common.runtime.failpoint import reach
from common.runtime.outage import StoreUnavailable, outage

T = TypeVar("T")

SQLITE_BUSY_SECONDS = 30
READERS = 2
STUCK_SECONDS = 30.0
"""A write that takes longer waits for a store that does not answer."""
WATCH_SECONDS = 3.0
WATCH_TROUBLE_SECONDS = 0.5
POSTGRESQL_OPTIONS = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""A server that vanished without a word is given up after seconds, not after the hours TCP would wait."""

log = logging.getLogger(__name__)


class Database:
    """`url` is an SQLAlchemy URL, `sqlite:///…` or `postgresql+psycopg://…`.

    SQLite runs in WAL mode with synchronous FULL: what a transaction committed survives a power cut.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._writes = _engine(url, "BEGIN IMMEDIATE")
        self._reads = _engine(url, "BEGIN", **_one_view(url))
        self._writer = ThreadPoolExecutor(1, "store-write")
        self._ahead: deque[Callable[[], None]] = deque()
        self._readers = ThreadPoolExecutor(READERS, "store-read")
        self.busy_seconds: defaultdict[str, float] = defaultdict(float)
        """How long each kind of work (by function) kept a store thread."""
        self._trouble: dict[str, str] = {}
        self._writing_since: float | None = None

    @contextmanager
    def transaction(self, step: str = "") -> Iterator[Connection]:
        """A write transaction on the calling thread: commits at the end, rolls back on any exception.

        `step` names it for failpoints. Raises StoreUnavailable.
        """
        with self._answering("writing"), self._writes.begin() as connection:
            yield connection
            reach(f"{step}.before_commit")
        reach(f"{step}.after_commit")

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A consistent view for reading on the calling thread. Raises StoreUnavailable."""
        with self._answering("reading"), self._reads.begin() as connection:
            yield connection

    async def write(self, work: Callable[..., T], *arguments: Any, ahead: bool = False) -> T:
        """`work(connection, *arguments)` in one transaction on the node's one writer thread.

        `ahead` of all that waits for that thread, as stops travel ahead of bulk. Raises StoreUnavailable; then whether
        it was committed is not known.
        """
        if not ahead:
            return await asyncio.get_running_loop().run_in_executor(self._writer, self._write_next, work, arguments)
        done: Future[T] = Future()
        self._ahead.append(partial(_fulfil, done, partial(self._write, work, arguments)))
        self._writer.submit(self._catch_up)
        return await asyncio.wrap_future(done)

    async def read(self, work: Callable[..., T], *arguments: Any) -> T:
        """`work(connection, *arguments)` over one snapshot, beside the writer. Raises StoreUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, self._within, self.snapshot, work, arguments
        )

    async def watch(self) -> None:
        """Write a little now and then, for ever: a full disk is noticed by who has nothing to write, too, and a
        transaction that changed nothing proves nothing."""
        while True:
            with suppress(StoreUnavailable):
                await self.write(_probe)
                self._recovered("writing")
            await asyncio.sleep(WATCH_TROUBLE_SECONDS if self._trouble else WATCH_SECONDS)

    def answers(self) -> bool:
        """Whether the store takes and tells what it is asked, and in good time. Needs somebody to `watch`."""
        since = self._writing_since
        return not self._trouble and (since is None or time.perf_counter() - since < STUCK_SECONDS)

    def _write_next(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        self._catch_up()
        return self._write(work, arguments)

    def _catch_up(self) -> None:
        """Do what is to go ahead."""
        while self._ahead:
            self._ahead.popleft()()

    def _write(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        self._writing_since = time.perf_counter()
        try:
            return self._within(lambda: self.transaction(step_of(work)), work, arguments)
        finally:
            self._writing_since = None

    def _within(self, scope: Callable[[], Any], work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        begun = time.perf_counter()
        try:
            with scope() as connection:
                return work(connection, *arguments)
        finally:
            self.busy_seconds[work.__qualname__] += time.perf_counter() - begun

    @contextmanager
    def _answering(self, what: str) -> Iterator[None]:
        """Tell an outage of the store from everything else that may go wrong, and note how it stands."""
        try:
            yield
        except Exception as error:
            why = outage(error)
            if not why:
                raise
            if what not in self._trouble:
                log.error("%s: the store does not answer: %s", what, why)
            self._trouble[what] = why
            raise StoreUnavailable(shown(self.url), why) from error
        if what == "reading":
            self._recovered(what)

    def _recovered(self, what: str) -> None:
        if self._trouble and self._trouble.pop(what, ""):
            log.warning("%s: the store answers again", what)

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


def _fulfil(done: Future[T], work: Callable[[], T]) -> None:
    if done.set_running_or_notify_cancel():
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever waits for it is to have it
            done.set_exception(error)


def _probe(connection: Connection) -> None:
    """A change to the store, and to nothing in it."""
    durable = {"sqlite": "PRAGMA user_version = 1", "postgresql": "SELECT pg_current_xact_id()"}
    connection.exec_driver_sql(durable[connection.dialect.name])


def step_of(work: Callable[..., object]) -> str:
    """What failpoints call a piece of work: the step of `common.delivery.lane.Lane._take` is "lane.take"."""
    return f"{work.__module__.rpartition('.')[2]}.{work.__name__.strip('_')}"


def shown(url: str) -> str:
    """Without the password."""
    return make_url(url).render_as_string()


def _one_view(url: str) -> dict[str, str]:
    """Where else each statement of a reader would see what the writer had committed just before it."""
    return {} if url.startswith("sqlite") else {"isolation_level": "REPEATABLE READ"}


def _engine(url: str, begin: str, **manner: str) -> Engine:
    options: dict[str, int] = {"timeout": SQLITE_BUSY_SECONDS} if url.startswith("sqlite") else POSTGRESQL_OPTIONS
    try:
        engine = create_engine(url, connect_args=options, **manner)
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
