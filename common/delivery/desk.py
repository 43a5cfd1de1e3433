"""Where vendors' reports arrive: many are committed at once, and none is answered before its commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import Connection

from common.delivery.outlet import Outlet
from common.delivery.receipts import KeysOf, apply_receipts, apply_replies
from common.kernel.channel import Receipts, Replies
from common.kernel.refusal import Fault, Refusal
from common.runtime.clock import Clock
from common.runtime.database import Database
from common.runtime.outage import StoreUnavailable

GATHER_SECONDS = 0.05
GATHER_ROWS = 20_000
PENDING_ROWS_MAX = 200_000


@dataclass(slots=True)
class _Entry:
    report: Receipts | Replies
    rows: int
    unmatched: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(slots=True)
class _Tray:
    """Reports of one kind that wait to be stored together."""

    ahead: bool
    """They are stored before anything else that waits."""
    entries: list[_Entry] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    full: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, entry: _Entry) -> None:
        self.entries.append(entry)
        self.arrived.set()
        if sum(waiting.rows for waiting in self.entries) >= GATHER_ROWS:
            self.full.set()

    async def gathered(self) -> list[_Entry]:
        await self.arrived.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER_SECONDS):
                await self.full.wait()
        entries, self.entries = self.entries, []
        self.arrived.clear()
        self.full.clear()
        return entries


class ReportDesk:
    """`take_receipts` and `take_replies` are the node's end of a vendor's callbacks; `bell` follows each commit.

    Replies do not wait behind receipts: there may be a STOP among them.
    """

    def __init__(
        self, database: Database, clock: Clock, outlet: Outlet, keys_of: KeysOf, bell: Callable[[], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._outlet = outlet
        self._keys_of = keys_of
        self._bell = bell
        self._receipts, self._replies = _Tray(ahead=False), _Tray(ahead=True)
        self._pending_rows = 0

    async def take_receipts(self, receipts: Receipts) -> int:
        """How many matched no message of this node. Raises Refusal where too much waits already."""
        return await self._take(self._receipts, _Entry(receipts, len(receipts.tasks)))

    async def take_replies(self, replies: Replies) -> int:
        return await self._take(self._replies, _Entry(replies, len(replies.replies)))

    async def run(self) -> None:
        """Commits what arrives, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for tray in (self._receipts, self._replies):
                group.create_task(self._empty(tray))

    async def _empty(self, tray: _Tray) -> None:
        while True:
            entries = await tray.gathered()
            await self._commit(entries, ahead=tray.ahead)
            self._pending_rows -= sum(entry.rows for entry in entries)
            self._bell()

    async def _take(self, tray: _Tray, entry: _Entry) -> int:
        if self._pending_rows + entry.rows > PENDING_ROWS_MAX:
            message = f"{self._pending_rows} reports wait to be stored, the most is {PENDING_ROWS_MAX}; report again."
            raise Refusal(Fault.BUSY, "THROTTLED", message, retry_seconds=1.0)
        self._pending_rows += entry.rows
        tray.add(entry)
        return await asyncio.shield(entry.unmatched)

    async def _commit(self, entries: Sequence[_Entry], *, ahead: bool) -> None:
        """All in one transaction; where that fails, one by one, so that one bad report holds up no other."""
        try:
            answers = await self._database.write(self._apply, entries, ahead=ahead)
        except Exception as fault:  # noqa: BLE001 - whatever one report does, the desk must take the next
            if len(entries) == 1 or isinstance(fault, StoreUnavailable):
                _fail(entries, fault)
                return
            for entry in entries:
                await self._commit([entry], ahead=ahead)
            return
        for entry, unmatched in zip(entries, answers, strict=True):
            if not entry.unmatched.done():
                entry.unmatched.set_result(unmatched)

    def _apply(self, connection: Connection, entries: Sequence[_Entry]) -> list[int]:
        now = self._clock.now()
        return [self._apply_one(connection, entry.report, now) for entry in entries]

    def _apply_one(self, connection: Connection, report: Receipts | Replies, now: int) -> int:
        if isinstance(report, Receipts):
            return apply_receipts(connection, report, now, self._outlet)
        return apply_replies(connection, report, now, self._outlet, self._keys_of)


def _fail(entries: Sequence[_Entry], fault: Exception) -> None:
    for entry in entries:
        if not entry.unmatched.done():
            entry.unmatched.set_exception(fault)
