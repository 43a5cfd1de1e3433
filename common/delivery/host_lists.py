"""Long lists of hosts that trigger documents name by digest, in the parts they came in. Nothing of one ever changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet

from sqlalchemy import Connection, bindparam, delete, func, select

from common.delivery.tables import host_part as table
from common.kernel.host_list import HostPart, names_in
from common.rules.trigger_document import TriggerDocument
from common.runtime import bulk

_PLACES = select(table.c.number, table.c.parts).where(table.c.digest == bindparam("of")).order_by(table.c.number)
_CONTENTS = select(table.c.content).where(table.c.digest == bindparam("of")).order_by(table.c.number)
_PART = select(table).where(table.c.digest == bindparam("of"), table.c.number == bindparam("at"))
_EVERY = select(table.c.digest, table.c.number).order_by(table.c.digest, table.c.number)
_NEWEST = select(func.coalesce(func.max(table.c.received_at), 0))
_QUIET = select(table.c.digest).group_by(table.c.digest).having(func.max(table.c.received_at) < bindparam("before"))
_DROP = delete(table).where(table.c.digest == bindparam("of"))


def keep(connection: Connection, part: HostPart, now: int) -> None:
    """A part that is here already has come anew."""
    columns: dict[str, bulk.Column] = {
        "digest": [part.digest],
        "number": [part.number],
        "parts": [part.count],
        "content": [part.content],
        "received_at": [max(now, newest(connection) + 1)],
    }
    bulk.upsert(connection, table, columns)


def prune(connection: Connection, named: AbstractSet[str], before: int) -> None:
    """Drop the lists that are not `named` and of which nothing came since `before`: no document will name them now."""
    quiet = set(connection.execute(_QUIET, {"before": before}).scalars())
    for digest in sorted(quiet - named):
        connection.execute(_DROP, {"of": digest})


def every(connection: Connection) -> list[tuple[str, int]]:
    """Digest and number of each part here, ascending."""
    return [(row.digest, row.number) for row in connection.execute(_EVERY)]


def places(connection: Connection, digest: str) -> list[int]:
    """The numbers of its parts; none where it is not here whole."""
    found = connection.execute(_PLACES, {"of": digest}).all()
    whole = bool(found) and [row.number for row in found] == list(range(found[0].parts))
    return [row.number for row in found] if whole else []


def part(connection: Connection, digest: str, number: int) -> HostPart | None:
    row = connection.execute(_PART, {"of": digest, "at": number}).one_or_none()
    return None if row is None else HostPart(row.digest, row.number, row.parts, bytes(row.content))


def lacking(connection: Connection, digests: Iterable[str]) -> list[str]:
    return sorted(digest for digest in set(digests) if not places(connection, digest))


def of(connection: Connection, document: TriggerDocument) -> dict[str, Collection[str]]:
    """The document's lists by name, as far as they are here whole."""
    found: dict[str, Collection[str]] = dict(document.host_lists)
    for name, digest in document.digests.items():
        if places(connection, digest):
            found[name] = names(connection, digest)
    return found


def names(connection: Connection, digest: str) -> tuple[str, ...]:
    """Of a list whose parts are all here. Raises Refusal where they do not belong together."""
    return names_in(digest, [bytes(row.content) for row in connection.execute(_CONTENTS, {"of": digest})])


def newest(connection: Connection) -> int:
    """When the last part came; another with each that comes. 0: none is here."""
    return int(connection.execute(_NEWEST).scalar_one())
