"""A store that is away: unreachable, restarting or full. Nothing is wrong with what was asked of it; ask again."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from common.kernel.refusal import Fault, Refusal

RETRY_SECONDS = 1.0
OUTAGE_SECONDS_MAX = 2.0
"""Whoever needs the store tries again at least this often."""
SQLITE_CODES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_SQLITE_PRIMARY = 0xFF
"""An extended code holds its primary code in the low byte."""
SQLSTATE_CLASSES = ("08", "40", "53", "57", "58")
"""Connection, transaction to be repeated, resources, operator intervention, system error."""


class StoreUnavailable(Refusal):
    """Whether a commit that failed so took effect is not known: look, or repeat what may be repeated."""

    def __init__(self, store: str, why: str) -> None:
        message = f"the store {store} does not answer ({why}); look at its server and its disk, then ask again"
        super().__init__(Fault.DRAINING, "STORE_UNAVAILABLE", message, retry_seconds=RETRY_SECONDS)


def outage(error: Exception) -> str:
    """Why the store is away, in the driver's words; empty where `error` tells of something else.

    Knows what SQLAlchemy raises and what the drivers raise below it.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    away = _sqlite_away(cause) if isinstance(cause, sqlite3.Error) else _postgresql_away(error, cause)
    return (str(cause).partition("\n")[0] or type(cause).__name__) if away else ""


def _sqlite_away(cause: sqlite3.Error) -> bool:
    return getattr(cause, "sqlite_errorcode", -1) & _SQLITE_PRIMARY in SQLITE_CODES


def _postgresql_away(error: Exception, cause: BaseException | None) -> bool:
    if not type(cause).__module__.startswith("psycopg"):
        return False
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return str(state).startswith(SQLSTATE_CLASSES)
    # Without a state it was not the server that spoke: the connection is gone.
    return isinstance(error, (OperationalError, InterfaceError)) or type(cause).__name__ in _LOST


_LOST = frozenset({"OperationalError", "InterfaceError", "ConnectionTimeout"})
