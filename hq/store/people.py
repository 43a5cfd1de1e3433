"""What HQ keeps of single people: their wishes, everything known of one of them, and their erasure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sqlalchemy import Connection

from common.delivery import erasures, forgetting, ledger, person, statements, stops
from common.delivery.person import Document
from common.kernel.columns import Keys
from common.kernel.erasure import erasures_of
from common.kernel.refusal import Refusal
from common.kernel.statement import Statement
from common.kernel.stop import StopScope
from hq.audience import Warehouse
from hq.store import feed, provinces, sessions


def record(connection: Connection, said: Sequence[Statement], keys: Keys, now: int) -> set[str]:
    """Record people's wishes, all or, with Refusal CONSENT_INVALID, none; answers whose control feed grew."""
    agreed, stopped = statements.record(connection, said, keys, now)
    return {*feed.tell(connection, agreed, now), *feed.tell(connection, stopped, now)}


def erase(connection: Connection, key: int, now: int) -> tuple[int, list[str]]:
    """Forget a person here and have every province do so; answers since when, and whose control feed grew."""
    times, lifted, known = erasures.marks(connection, np.array([key]))
    if known[0] and not lifted[0]:
        return int(times[0]), []
    # Later than anything said of the number, whatever the clocks of others were.
    at = max(now, int(times[0]) + 1)
    news = forgetting.take(connection, erasures_of(np.array([key]), np.array([at], dtype=np.uint32)))
    return at, feed.tell(connection, news, now)


def remains(connection: Connection, key: int, at: int) -> Document:
    """What HQ still holds of somebody erased at `at`."""
    blacklisted = stops.standing_between(connection, key, key)[1] == StopScope.BLACKLIST
    return {
        "subscriber": f"{key:016x}",
        "erased_at": person.time_of(at),
        "contacts": sum(1 for _ in ledger.tasks_of(connection, key)),
        "blacklisted": bool(blacklisted.any()),
        "provinces": provinces.enrolled(connection),
    }


def export(connection: Connection, warehouse: Callable[[], Warehouse], key: int, now: int) -> Document:
    """Everything HQ holds of one person, and with it all that provinces have told it of them. See docs/people.md."""
    try:
        current = warehouse()
    except Refusal:  # nobody was imported yet
        current = None
    held = person.held(connection, current, key, now)
    home = held["vault"]["province"] if held["vault"] else ""
    return held | {"told_by": _told(connection, home, now)}


def _told(connection: Connection, home: str, now: int) -> Document:
    """Provinces tell HQ all they do and hear: while the home is connected nothing is missing but what is on its way."""
    session = sessions.load(connection, home) if home else None
    return {"home": home, "connected": session is not None and session.expires_at > now}
