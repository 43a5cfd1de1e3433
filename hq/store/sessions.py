"""Fenced sessions: of the instances that claim one node's name, at most one is heard."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from common.kernel.refusal import Fault, Refusal, conflict
from hq.store.tables import session

INSTANCE_ID_CHARS_MAX = 64
LEAP_MAX = 1 << 31
"""Room for billions of sessions of one province below what a store can keep."""

_LOAD = select(session).where(session.c.province == bindparam("of"))
_DELETE = delete(session).where(session.c.province == bindparam("of"))
_INSERT = insert(session)
_RENEW = (
    update(session)
    .where(session.c.province == bindparam("of"), session.c.fence == bindparam("given"))
    .values(expires_at=bindparam("until"))
)
_CLOSE_ALL = update(session).values(fence=session.c.fence + 1, expires_at=0)


@dataclass(frozen=True, slots=True)
class Session:
    """`expires_at` is Unix seconds; a lapsed lease only lets another instance in, it does not shut this one out."""

    province: str
    instance_id: str
    fence: int
    expires_at: int
    contract_revision: int


def opened(held: Session | None, ask: Session, *, takeover: bool, now: int, leap: int) -> Session:
    """The session `ask` gets, its fence above any that this database knows of.

    `leap`, drawn at random up to LEAP_MAX, makes it unlike those that a database put back from a backup gave in the
    time it lost, even where the clock went back with it: a session from then must not pass for the new one.
    """
    if held is not None and held.instance_id != ask.instance_id and held.expires_at > now and not takeover:
        raise Refusal(
            Fault.HELD,
            "SESSION_HELD",
            f"another instance holds the session of {ask.province} for {held.expires_at - now} s more; "
            "stop it, wait, or open with takeover",
            metadata={"seconds": str(held.expires_at - now)},
        )
    return replace(ask, fence=leap + max(now, 1 + (held.fence if held else 0)))


def checked(held: Session | None, fence: int) -> Session:
    if held is None or held.fence != fence:
        raise conflict("this session was superseded or closed; open a new one, or stop this instance", "SESSION_FENCED")
    return held


def load(connection: Connection, province: str) -> Session | None:
    row = connection.execute(_LOAD, {"of": province}).one_or_none()
    return None if row is None else Session(**row._mapping)


def put(connection: Connection, value: Session) -> None:
    connection.execute(_DELETE, {"of": value.province})
    connection.execute(_INSERT, asdict(value))


def check(connection: Connection, province: str, fence: int) -> Session:
    """Refused with SESSION_FENCED unless `fence` is the current one."""
    return checked(load(connection, province), fence)


def renew(connection: Connection, province: str, fence: int, expires_at: int) -> None:
    if not connection.execute(_RENEW, {"of": province, "given": fence, "until": expires_at}).rowcount:
        check(connection, province, fence)


def close_all(connection: Connection) -> None:
    """Every province must open anew, and so learns what has changed at HQ."""
    connection.execute(_CLOSE_ALL)


def close(connection: Connection, province: str, fence: int) -> None:
    """The closed fence is dead at once; any instance may open."""
    put(connection, replace(check(connection, province, fence), fence=fence + 1, expires_at=0))
