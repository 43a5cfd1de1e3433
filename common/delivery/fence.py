"""The restore fence: a node notices that its store came back from a backup, and relies on nothing it may have lost.

Every booking of contacts raises a mark in the store, and before anything of it is sent the mark is written beside the
store as well. A store behind that file has forgotten bookings: the node then begins a new incarnation.
"""

from __future__ import annotations

import asyncio
import logging
import os
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from common.delivery import ledger, settle
from common.delivery.outlet import Outlet
from common.delivery.tables import STATE_COLUMNS, incarnation, task_block, work_order
from common.kernel.columns import Rows
from common.kernel.incarnation import UNDATED, Incarnation, Kept, restored, went_back
from common.kernel.refusal import Fault, Refusal, conflict
from common.kernel.task import YET_TO_SEND, TaskEvent, TaskReason
from common.kernel.task_block import TaskBlock, advance
from common.runtime.clock import Clock, trusted
from common.runtime.database import Database
from common.runtime.directory import sync_directory
from common.runtime.failpoint import reach
from common.runtime.outage import OUTAGE_SECONDS_MAX, StoreUnavailable

FILE = "spends"
WATCH_SECONDS = 1.0
GIVE_UP_BLOCKS = 16
"""Blocks given up in one transaction."""

_LOAD = select(incarnation.c.number, incarnation.c.mark, incarnation.c.fenced_at)
_RAISE = update(incarnation).values(mark=incarnation.c.mark + 1).returning(incarnation.c.mark)
_INSERT = insert(incarnation)
_DELETE = delete(incarnation)
_DATE = update(incarnation).where(incarnation.c.fenced_at == UNDATED).values(fenced_at=bindparam("moment"))
_UNSENT = (
    select(task_block.c.work_order, task_block.c.number, work_order.c.end_at)
    .join(work_order, work_order.c.name == task_block.c.work_order)
    .where(
        work_order.c.node == bindparam("node"),
        or_(*(task_block.c[STATE_COLUMNS[state]] > 0 for state in YET_TO_SEND)),
    )
    .order_by(task_block.c.work_order, task_block.c.number)
    .limit(bindparam("blocks"))
)

log = logging.getLogger(__name__)


def load(connection: Connection) -> Incarnation:
    row = connection.execute(_LOAD).one_or_none()
    return Incarnation() if row is None else Incarnation(*row)


def start(connection: Connection) -> Incarnation:
    """The first incarnation of a node that never ran."""
    put(connection, Incarnation(mark=1))
    return load(connection)


def raise_mark(connection: Connection) -> int:
    """Call in the transaction that books contacts; nothing of them may be sent before the mark is kept."""
    mark = connection.execute(_RAISE).scalar()
    if mark is None:
        mark = Incarnation().mark + 1
        put(connection, Incarnation(mark=mark))
    return int(mark)


def put(connection: Connection, value: Incarnation) -> None:
    connection.execute(_DELETE)
    connection.execute(_INSERT, {"number": value.number, "mark": value.mark, "fenced_at": value.fenced_at})


def date(connection: Connection, now: int) -> None:
    """The incarnation, where it is UNDATED, counts as begun now."""
    connection.execute(_DATE, {"moment": now})


def give_up(connection: Connection, node: str, now: int, outlet: Outlet, blocks: int = GIVE_UP_BLOCKS) -> int:
    """Give up what the node itself has yet to send, of so many blocks; answers how many there were.

    `now` may be UNDATED, as in `given_up`.
    """
    found = connection.execute(_UNSENT, {"node": node, "blocks": blocks}).all()
    for name, number, end_at in found:
        block = ledger.load_block(connection, name, number)
        if block is not None:
            block, changed = given_up(block, now, end_at)
            settle.save(connection, block, changed, outlet)
    return len(found)


def given_up(block: TaskBlock, now: int, end_at: int) -> tuple[TaskBlock, Rows]:
    """The block with what was yet to be sent UNKNOWN, as contacts of this moment; and the rows that changed.

    Where `now` is UNDATED, as contacts of the last moment at which their work order let any be made.
    """
    rows = np.flatnonzero(np.isin(block.states, YET_TO_SEND))
    return advance(block, rows, TaskEvent.GIVE_UP, TaskReason.RESTORED, end_at if now == UNDATED else now)


class MarkFile:
    """One line beside the store: incarnation, mark and checksum. Written in place; durable when `write` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Kept | None:
        """None also where it is damaged."""
        try:
            number, mark, check = self.path.read_text(encoding="ascii").split()
            kept = Kept(int(number), int(mark))
        except (OSError, ValueError):
            return None
        return kept if int(check, 16) == _checksum(kept) else None

    def write(self, kept: Kept) -> None:
        reach("fence.write.before_sync")
        new = not self.path.exists()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(descriptor, f"{kept.number:020d} {kept.mark:020d} {_checksum(kept):08x}\n".encode(), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if new:
            sync_directory(self.path.parent)
        reach("fence.write.after_sync")


class Fence:
    """One for a node; the file is in `directory`. `begun` is called in the transaction of a new incarnation.

    `dated`: an incarnation's number is not below the moment it begins, so that no two restores of one backup, file and
    all, ever give the same. HQ's numbers go into the versions of policies and stay small; provinces tell two of HQ's
    apart by what they hold of each.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        node: str,
        outlet: Outlet,
        directory: Path,
        begun: Callable[[Connection], None] = lambda _connection: None,
        *,
        dated: bool = False,
    ) -> None:
        self._database = database
        self._clock = clock
        self._node = node
        self._outlet = outlet
        self._file = MarkFile(directory / FILE)
        self._begun = begun
        self._dated = dated
        self._turn = asyncio.Lock()
        self._kept = Kept(0, 0)
        self._first_mark = 0
        """Lower marks are those of an incarnation that is over."""
        self.closed = True
        """Nothing may be contacted: not looked yet, or a restore is being dealt with."""

    async def wake(self) -> Incarnation:
        """Look whether the store was restored while the node was down. Call before anything is contacted."""
        stored, kept = await self._database.read(load), self._file.read()
        if went_back(stored, kept):
            log.error("the store is older than %s: it came back from a backup, or this is a copy", self._file.path)
            return await self.fall(stored.number)
        if not stored.mark:
            # The file goes first: once it has a mark, a store without the file beside it is known for a restored one.
            await self._keep(stored)
            stored = await self._database.write(start)
        await self._keep(stored)
        self.closed = False
        return stored

    async def fall(self, number: int | None = None, above: int = 0) -> Incarnation:
        """Begin a new incarnation, higher than `above`; nothing where the one that follows `number` has begun.

        What was open is given up first.
        """
        async with self._turn:
            stored = await self._database.read(load)
            if number is not None and stored.number > max(number, above):
                return stored
            self.closed = True
            lost = 0
            while found := await self._database.write(give_up, self._node, self._now(), self._outlet, GIVE_UP_BLOCKS):
                lost += found
            above = max(above, self._clock.now() - 1) if self._dated else above
            begun = restored(await self._database.read(load), self._file.read(), above, self._now())
            # The file goes first: dying in between, the node finds itself restored once more.
            await self._keep(begun)
            async for attempt in _insisting():
                with attempt:
                    await self._database.write(self._begin, begun)
            self._first_mark, self.closed = begun.mark, False
        log.error("incarnation %d begins: what was open in %d blocks may have been sent", begun.number, lost)
        return begun

    def check(self, connection: Connection) -> int:
        """The store's mark; refused where the store went back under the running node, or is another node's by now.

        Call it first in a transaction that books or leases contacts: a mark raised unchecked would hide what was lost.
        """
        kept = self._kept  # Before the store: what is kept may rise meanwhile.
        stored = load(connection)
        if self.closed:
            raise Refusal(Fault.BUSY, "RESTORE_FENCED", "a restore is being dealt with", retry_seconds=1.0)
        if stored.number != kept.number or went_back(stored, kept):
            message = f"the store is not the one that {self._file.path} was written beside; start this node again"
            raise conflict(message, "RESTORE_FENCED")
        return stored.mark

    async def watch(self) -> None:
        """Ends with a Refusal when the store goes back under the running node, which then has to start again."""
        while True:
            async with self._turn:
                if not self.closed:
                    await self._database.read(self.check)
            await asyncio.sleep(WATCH_SECONDS)

    async def keep(self, mark: int) -> bool:
        """Durable beside the store when it answers True; else, and where StoreUnavailable is raised, send nothing."""
        async with self._turn:
            if mark > self._kept.mark:
                await self._keep(Incarnation(self._kept.number, mark))
            return mark >= self._first_mark

    async def dated(self, job: Callable[[], Awaitable[object]]) -> None:
        """Run `job`; call it when the clock is trusted. What began UNDATED begins now."""
        await self.date()
        await job()

    async def date(self) -> None:
        async with self._turn:
            async for attempt in _insisting():
                with attempt:
                    if (await self._database.read(load)).fenced_at == UNDATED:
                        await self._database.write(date, self._clock.now())

    def _now(self) -> int:
        return self._clock.now() if trusted(self._clock) else UNDATED

    def _begin(self, connection: Connection, begun: Incarnation) -> None:
        put(connection, begun)
        self._begun(connection)

    async def _keep(self, value: Incarnation) -> None:
        kept = Kept(value.number, value.mark)
        try:
            await asyncio.to_thread(self._file.write, kept)
        except OSError as error:
            raise StoreUnavailable(str(self._file.path), error.strerror or str(error)) from error
        self._kept = kept


def _insisting() -> AsyncRetrying:
    """For what nobody comes back to, and without which nobody is contacted any more."""
    waits = wait_random_exponential(multiplier=0.1, max=OUTAGE_SECONDS_MAX)
    return AsyncRetrying(retry=retry_if_exception_type(StoreUnavailable), wait=waits)


def _checksum(kept: Kept) -> int:
    return zlib.crc32(f"{kept.number} {kept.mark}".encode())
