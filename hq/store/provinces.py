"""Which provinces are enrolled, and when they were last heard."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, update

from common.kernel.incarnation import FIRST
from common.kernel.refusal import Fault, Refusal
from common.runtime import bulk
from hq.store.tables import province

_CODES = select(province.c.code).order_by(province.c.code)
_INCARNATION = select(province.c.incarnation).where(province.c.code == bindparam("of"))
_CLOCK_OFF = select(province.c.clock_off_seconds).where(province.c.code == bindparam("of"))
_RETOLD_TO = select(province.c.retold_to).where(province.c.code == bindparam("of"))
_YET_TO_RETELL = _CODES.where(province.c.retold_to != bindparam("own"))
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


def met(connection: Connection, code: str, incarnation: int) -> None:
    """It opened a session as that one."""
    connection.execute(_UPDATE, {"of": code, "incarnation": incarnation})


def told_time(connection: Connection, code: str, off_seconds: int) -> None:
    """Its clock is so far ahead of HQ's."""
    connection.execute(_UPDATE, {"of": code, "clock_off_seconds": off_seconds})


def clock_off_seconds(connection: Connection, code: str) -> int:
    return int(connection.execute(_CLOCK_OFF, {"of": code}).scalar() or 0)


def retold(connection: Connection, code: str, hq_incarnation: int) -> None:
    """It has told that HQ everything."""
    connection.execute(_UPDATE, {"of": code, "retold_to": hq_incarnation})


def has_retold(connection: Connection, code: str, own: int) -> bool:
    """Whether HQ, as incarnation `own`, knows of all that the province holds; the first never forgot anything."""
    return own == FIRST or connection.execute(_RETOLD_TO, {"of": code}).scalar() == own


def yet_to_retell(connection: Connection, own: int) -> list[str]:
    """The codes of those that HQ, as incarnation `own`, has yet to hear everything from."""
    return [] if own == FIRST else list(connection.execute(_YET_TO_RETELL, {"own": own}).scalars())
