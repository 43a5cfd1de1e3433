"""The trigger rules in force in this province: HQ's and its own."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, insert, select

from common.delivery import host_lists, triggers
from common.delivery.tables import trigger_document
from common.kernel.tag import Catalogue
from common.rules.trigger_document import TriggerDocument
from province.store import tags
from province.store.tables import local_trigger

MOMENT_BITS = 34
"""Of seconds, for some centuries."""

_EDITION = select(
    select(func.count()).select_from(trigger_document).scalar_subquery()
    + select(func.count()).select_from(local_trigger).scalar_subquery()
)
_NEWEST = select(func.max(local_trigger.c.version)).group_by(local_trigger.c.name)
_LOCAL = select(local_trigger).where(local_trigger.c.version.in_(_NEWEST)).order_by(local_trigger.c.name)
_RECEIVED = select(func.coalesce(func.max(local_trigger.c.version), 0))
_READABLE_AT_MOST = (
    select(local_trigger.c.version, local_trigger.c.document, local_trigger.c.withdrawn)
    .where(local_trigger.c.name == bindparam("of"))
    .order_by(local_trigger.c.version.desc())
)
_INSERT = insert(local_trigger)


@dataclass(frozen=True, slots=True)
class LocalVersion:
    version: int
    name: str
    document: str
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class InForce:
    edition: int
    """As `edition` told when this was read."""
    documents: tuple[TriggerDocument, ...]
    """Each rule in one of them only; areas and lists of hosts go by their names within their own document."""
    tags: Catalogue


def edition(connection: Connection) -> int:
    """Another number whenever other rules may be in force: no document and no tag is ever deleted, no part comes at
    the moment of another, and the parts that are dropped are nobody's."""
    told = int(connection.execute(_EDITION).scalar_one()) + tags.count(connection)
    return (told << MOMENT_BITS) + host_lists.newest(connection)


def in_force(connection: Connection) -> InForce:
    """What cannot be read by this build is left out, or the last that could be stands for it."""
    known = tags.known(connection)
    documents = {("hq", name): document for name, document in triggers.in_force(connection, known).items()}
    documents |= {("local", name): document for name, document in local_in_force(connection).items()}
    return InForce(edition(connection), tuple(documents.values()), known)


def lists_named(connection: Connection) -> set[str]:
    """Digests of lists of hosts in HQ's documents and the province's own that are in force or may come to be."""
    own = [connection.execute(_READABLE_AT_MOST, {"of": said.name}) for said in local(connection) if not said.withdrawn]
    versions = [[(row.document, row.version) for row in rows] for rows in own]
    known = tags.known(connection)
    named = [set(triggers.digests_of(newest_first, known)) for newest_first in versions]
    return triggers.lists_named(connection, known).union(*named)


def local_in_force(connection: Connection) -> dict[str, TriggerDocument]:
    """By name."""
    known = tags.known(connection)
    found = {said.name: _readable(connection, said.name, known) for said in local(connection) if not said.withdrawn}
    return triggers.without_namesakes({name: document for name, document in found.items() if document is not None})


def local(connection: Connection) -> list[LocalVersion]:
    """The newest of each document of the province's own, withdrawn ones too, by name."""
    rows = connection.execute(_LOCAL)
    return [LocalVersion(row.version, row.name, row.document, bool(row.withdrawn)) for row in rows]


def put_local(connection: Connection, name: str, document: str, withdrawn: bool, now: int) -> LocalVersion:
    said = LocalVersion(int(connection.execute(_RECEIVED).scalar_one()) + 1, name, document, withdrawn)
    row = {"version": said.version, "name": name, "document": document, "withdrawn": withdrawn, "changed_at": now}
    connection.execute(_INSERT, row)
    return said


def _readable(connection: Connection, name: str, known: Catalogue) -> TriggerDocument | None:
    for row in connection.execute(_READABLE_AT_MOST, {"of": name}):
        found = None if row.withdrawn else triggers.understood(row.document, row.version, known)
        if not isinstance(found, str):
            return found
    return None
