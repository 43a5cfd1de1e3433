"""Which provinces are enrolled, and when they were last heard."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, update

from common.kernel.refusal import Fault, Refusal
from common.runtime import bulk
from hq.store.tables import province

_CODES = select(province.c.code).order_by(province.c.code)
_INCARNATION = select(province.c.incarnation).where(province.c.code == bindparam("of"))
_UPDATE = update(province).where(province.c.code == bindparam("of"))


def enrolled(connection: Connection) -> list[str]:
    """Codes, ascending."""
    return list(connection.execute(_CODES).scalars())


def enroll(connection: Connection, code: str, now: int) -> None:
    """From now on the province may open a session and campaigns may cut work orders for it. Repeating is harmless."""
    bulk.insert_new(connection, province, {"code": [code], "enrolled_at": [now], "build_version": [""], "seen_at": [0]})


def seen(connection: Connection, code: str, build_version: str, now: int) -> None:
    """Refused where the province is not enrolled: a certificate alone does not let it in."""
    if not connection.execute(_UPDATE, {"of": code, "build_version": build_version[:64], "seen_at": now}).rowcount:
        raise Refusal(
            Fault.FORBIDDEN,
            "IDENTITY_NOT_ALLOWED",
            f"province {code} is not enrolled at this HQ; run `liandong province enroll` for it there",
        )


def incarnation(connection: Connection, code: str) -> int:
    """The one it last opened a session as; 0 before the first."""
    return int(connection.execute(_INCARNATION, {"of": code}).scalar() or 0)
