"""Commands that came before their work order was here."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, insert, select

from common.kernel.work_order import WorkOrderCommand, WorkOrderState
from province.store.tables import pending_command

_HELD = select(pending_command).where(pending_command.c.work_order == bindparam("of"))
_DROP = delete(pending_command).where(pending_command.c.work_order == bindparam("of"))
_DROP_ALL = delete(pending_command)
_HOLD = insert(pending_command)


def hold(connection: Connection, command: WorkOrderCommand) -> None:
    """Keep it for later; an older one never replaces a newer."""
    known = held(connection, command.work_order)
    if known is not None and known.version >= command.version:
        return
    drop(connection, command.work_order)
    row = {"work_order": command.work_order, "state": int(command.state), "version": command.version}
    connection.execute(_HOLD, row)


def held(connection: Connection, work_order: str) -> WorkOrderCommand | None:
    row = connection.execute(_HELD, {"of": work_order}).one_or_none()
    return None if row is None else WorkOrderCommand(row[0], WorkOrderState(row[1]), row[2])


def drop_all(connection: Connection) -> None:
    connection.execute(_DROP_ALL)


def drop(connection: Connection, work_order: str) -> None:
    connection.execute(_DROP, {"of": work_order})
