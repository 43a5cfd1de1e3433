"""The contact policies this node was sent, and the one in force."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import Connection, select

from common.delivery.tables import policy as table
from common.kernel.policy import DEFAULT, Policy

_IN_FORCE = (
    select(table.c.version, table.c.document).where(table.c.objection == "").order_by(table.c.version.desc()).limit(1)
)


def in_force(connection: Connection) -> Policy:
    """The newest this node could apply; the default before the first."""
    row = connection.execute(_IN_FORCE).one_or_none()
    return DEFAULT if row is None else _parsed(*row)


@lru_cache(maxsize=8)
def _parsed(version: int, document: str) -> Policy:
    raise NotImplementedError((version, document))
