"""Which node tells the orders of which source system: the first that did, and no other."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, insert, select

from common.kernel.refusal import Fault, Refusal
from hq.store.tables import source_system

_TELLER = select(source_system.c.node).where(source_system.c.name == bindparam("of"))
_INSERT = insert(source_system)


def claim(connection: Connection, node: str, names: Iterable[str]) -> None:
    """Refused with NOT_YOURS where another node tells the orders of one of them."""
    for name in sorted(set(names)):
        teller = connection.execute(_TELLER, {"of": name}).scalar()
        if teller is None:
            connection.execute(_INSERT, {"name": name, "node": node})
        elif teller != node:
            message = (
                f"orders of source system {name} are told by another node; give {node}'s a source_system of its own"
            )
            raise Refusal(Fault.FORBIDDEN, "NOT_YOURS", message)
