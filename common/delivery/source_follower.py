"""Follows one feed of a source system for ever: a page, its effect and the new place in one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection

from common.courier.bell import Bell
from common.delivery.source_place import place, set_place
from common.kernel.bss import SourceUnavailable
from common.kernel.refusal import Refusal
from common.runtime.clock import Clock
from common.runtime.database import Database

POLL_SECONDS = 0.3
BACK_OFF_SECONDS_MAX = 5.0

LOG = logging.getLogger(__name__)

Log = tuple[str, str]
"""(peer, stream)"""


class Page(Protocol):
    @property
    def next_page_token(self) -> str: ...

    @property
    def caught_up(self) -> bool: ...

    @property
    def rejects(self) -> tuple[str, ...]: ...


P = TypeVar("P", bound=Page)

Ask = Callable[[str], Awaitable[P]]
Take = Callable[[Connection, P, int], Sequence[Log]]
"""Applies a page at a time, repeats included; answers the logs that grew."""


class SourceFollower(Generic[P]):
    """`feed` is "orders" or "pool"."""

    def __init__(
        self, database: Database, clock: Clock, bell: Bell, source_system: str, feed: str, ask: Ask[P], take: Take[P]
    ) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._source = source_system
        self._feed = feed
        self._ask = ask
        self._take = take
        self.caught_up_at: int | None = None
        """Everything the source could tell at this moment (Unix seconds) is applied; None before the first time."""

    async def run(self) -> None:
        """Until cancelled. A source that is down, or refuses, is asked again, ever more slowly."""
        pause = POLL_SECONDS
        while True:
            try:
                await self.catch_up()
                pause = POLL_SECONDS
            except (SourceUnavailable, Refusal) as error:
                pause = min(2 * pause, BACK_OFF_SECONDS_MAX)
                LOG.warning("%s %s: %s; asking again in %.1f s", self._source, self._feed, error, pause)
            await asyncio.sleep(pause)

    async def catch_up(self) -> None:
        """Apply page after page until the source has nothing newer. Raises SourceUnavailable or Refusal."""
        token, caught_up = await self._database.read(place, self._source, self._feed), False
        while not caught_up:
            asked_at = self._clock.now()
            page = await self._ask(token)
            for reject in page.rejects:
                LOG.error("%s %s: not taken: %s", self._source, self._feed, reject)
            if page.next_page_token != token:
                for log in await self._database.write(self._apply, page):
                    self._bell.ring(*log)
            token, caught_up = page.next_page_token, page.caught_up
        self.caught_up_at = asked_at

    def _apply(self, connection: Connection, page: P) -> Sequence[Log]:
        grown = self._take(connection, page, self._clock.now())
        set_place(connection, self._source, self._feed, page.next_page_token)
        return grown
