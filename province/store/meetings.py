"""Who this node and HQ were to each other when they last met."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, insert, select

from province.store.tables import meeting

FORGOTTEN = -1
"""In place of an own incarnation: it ended in a restore, and its successor has yet to meet HQ."""

_LOAD = select(meeting.c.hq_incarnation, meeting.c.incarnation)
_DELETE = delete(meeting)
_INSERT = insert(meeting)


@dataclass(frozen=True, slots=True)
class Meeting:
    """`hq_incarnation` has been told everything, or it will be by what is in the outbox; 0s: they never met."""

    hq_incarnation: int = 0
    incarnation: int = 0


def last(connection: Connection) -> Meeting:
    row = connection.execute(_LOAD).one_or_none()
    return Meeting() if row is None else Meeting(*row)


def note(connection: Connection, value: Meeting) -> None:
    connection.execute(_DELETE)
    connection.execute(_INSERT, asdict(value))
