"""Looks after local requests for as long as the province runs: decides what waits and asks HQ for what is lacking."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy import Connection

from common.delivery.outlet import Outlet
from common.kernel.columns import Codes
from common.kernel.grant import GrantRequest
from common.kernel.refusal import Fault, Refusal
from common.runtime.clock import Clock, milliseconds
from common.runtime.database import Database
from province import admission
from province.admission import Ungranted
from province.coordination import Books
from province.store import coordination, local_requests

LOOK_SECONDS = 0.05
ASK_SECONDS = 0.5
"""How soon HQ is asked again."""
SHUT_SECONDS = 0.5
"""How soon it is looked again after nothing might be spent."""
BOOKS_SECONDS = 600
"""Books so old are opened anew: contacts that were not made after all can be spent again."""
FINAL = (Fault.INVALID, Fault.MISSING, Fault.CONFLICT, Fault.HELD, Fault.FORBIDDEN)

Ask = Callable[[GrantRequest], Awaitable[Codes | None]]
"""HQ's answer: a reason for each contact asked for, NONE where granted; or None while HQ cannot be asked."""

_log = logging.getLogger(__name__)


class Coordinator:
    """`wake` is called after contacts were admitted; while `may_spend` or `knows_hq` answers False none are.

    Two must never run on one store at once.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        node: str,
        outlet: Outlet,
        wake: Callable[[], None],
        ask: Ask,
        may_spend: Callable[[], bool] = lambda: True,
        knows_hq: Callable[[Connection], bool] = lambda _connection: True,
    ) -> None:
        self._database = database
        self._clock = clock
        self._node = node
        self._outlet = outlet
        self._wake = wake
        self._ask = ask
        self._may_spend = may_spend
        self._knows_hq = knows_hq
        self._books: Books | None = None

    async def run(self) -> None:
        """Decides until cancelled. HQ is asked beside it, by `run_asking`: an answer may be long in coming."""
        while True:
            decided = await self.decide()
            await asyncio.sleep(LOOK_SECONDS if decided else SHUT_SECONDS)

    async def run_asking(self) -> None:
        """Runs until cancelled."""
        while True:
            await self.ask_hq()
            await asyncio.sleep(ASK_SECONDS)

    async def turn(self) -> None:
        await self.decide()
        await self.ask_hq()

    async def decide(self) -> bool:
        """False where something waits and nothing may be spent."""
        if not await self._database.read(local_requests.any_waits):
            return True
        # Until the store has answered nobody knows what was spent; what it holds is read again then.
        books, self._books = self._books, None
        if not self._may_spend() or not await self._database.read(self._knows_hq):
            return False
        await self._admit(books)
        return True

    async def ask_hq(self) -> None:
        for lacking in await self._database.read(_ungranted):
            await self._ask_hq(lacking)

    async def _admit(self, books: Books | None) -> None:
        now, at = self._clock.now(), milliseconds(self._clock)
        if books is None or not 0 <= now - books.opened_at < BOOKS_SECONDS:
            books = await self._database.read(coordination.books, now)
        self._books = await self._database.write(admission.admit, books, self._node, self._outlet, now, at)
        self._wake()

    async def _ask_hq(self, lacking: Ungranted) -> None:
        answer: Codes | str | None
        if lacking.asked.end_at <= self._clock.now():
            answer = "HQ gave no answer before the validity ended"
        else:
            answer = await self._answer(lacking.asked)
        if answer is not None:
            await self._database.write(admission.answered, lacking, answer)

    async def _answer(self, asked: GrantRequest) -> Codes | str | None:
        try:
            return await self._ask(asked)
        except Refusal as refusal:
            if refusal.fault not in FINAL:
                return None
            _log.error("HQ grants nothing for request %s: %s", asked.request_id, refusal.message)
            return refusal.message


def _ungranted(connection: Connection) -> list[Ungranted]:
    return list(admission.ungranted(connection))
