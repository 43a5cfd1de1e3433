"""Forgets, now and then, what trigger rules did and no one can ask for again."""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection

from common.delivery import host_lists
from common.runtime.clock import Clock
from common.runtime.database import Database
from province.store import fires, local_requests, triggers

PAUSE_SECONDS = 600.0
BREATH_SECONDS = 0.5
"""Between two transactions, so that nothing else waits for long."""
REQUEST_DAYS = 9
"""Longer than any validity."""
HOST_LIST_DAYS = 7
"""Longer than HQ's link is away between a list and the document behind it."""


async def prune_for_ever(database: Database, clock: Clock) -> None:
    """Runs until cancelled."""
    while True:
        pruned = await database.write(prune, clock.now())
        await asyncio.sleep(BREATH_SECONDS if pruned else PAUSE_SECONDS)


def prune(connection: Connection, now: int) -> int:
    """Some of it; answers how many fires."""
    host_lists.prune(connection, triggers.lists_named(connection), now - HOST_LIST_DAYS * 86_400)
    local_requests.prune(connection, now - REQUEST_DAYS * 86_400)
    return fires.prune(connection, now)
