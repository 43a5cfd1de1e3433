"""The contact policies this node was sent, and the one in force."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import Connection, bindparam, func, select

from common.delivery.policy_document import parsed
from common.delivery.tables import policy as table
from common.kernel.policy import DEFAULT, Policy, PolicyDocument
from common.kernel.refusal import Refusal

_NEWEST_UP_TO = (
    select(table.c.version, table.c.document)
    .where(table.c.version <= bindparam("most"))
    .order_by(table.c.version.desc())
    .limit(1)
)
_DOCUMENT = select(table.c.document).where(table.c.version == bindparam("of"))
_RECEIVED = select(func.coalesce(func.max(table.c.version), 0))
VERSION_MAX = (1 << 31) - 1


def in_force(connection: Connection) -> Policy:
    """The newest that this build can read; the default before the first."""
    most = VERSION_MAX
    while True:
        row = connection.execute(_NEWEST_UP_TO, {"most": most}).one_or_none()
        if row is None:
            return DEFAULT
        found = understood(row.document, row.version)
        if isinstance(found, Policy):
            return found
        most = row.version - 1


def of_version(connection: Connection, version: int) -> Policy | None:
    """The one decided by then; None where this node never had it or cannot read it."""
    if version == DEFAULT.version:
        return DEFAULT
    document = connection.execute(_DOCUMENT, {"of": version}).scalar()
    found = None if document is None else understood(document, version)
    return found if isinstance(found, Policy) else None


def newest(connection: Connection) -> PolicyDocument | None:
    """The one of the highest version this node was ever sent, whether it can read it or not."""
    row = connection.execute(_NEWEST_UP_TO, {"most": VERSION_MAX}).one_or_none()
    return None if row is None else PolicyDocument(*row)


def received(connection: Connection) -> int:
    """The newest version this node was ever sent, in force or not; 0 before the first."""
    return int(connection.execute(_RECEIVED).scalar_one())


@lru_cache(maxsize=16)
def understood(document: str, version: int) -> Policy | str:
    """The policy, or why this build cannot apply it."""
    try:
        return parsed(document, version)
    except Refusal as refusal:
        return refusal.message
