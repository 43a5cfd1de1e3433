"""HQ's trigger documents here: what this build can read goes into force, of the rest HQ is told why not."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, bindparam, select, update

from common.delivery import host_lists, triggers
from common.delivery.tables import trigger_document
from common.kernel.trigger_version import TriggerEvent, TriggerVersion
from province.store import tags
from province.uplink import append_trigger_event

_log = logging.getLogger(__name__)

_OBJECTION = select(trigger_document.c.objection).where(trigger_document.c.version == bindparam("of"))
_JUDGE = update(trigger_document).where(trigger_document.c.version == bindparam("of")).values(
    objection=bindparam("why")
)  # fmt: skip


def take(connection: Connection, said: TriggerVersion, now: int) -> None:
    """Keep what HQ sent. An older version never goes before a newer one, whenever it comes."""
    stored = triggers.of_version(connection, said.version)
    if stored is None:
        why = _objection(connection, said)
        triggers.keep(connection, said, why, now)
        _tell(connection, TriggerEvent(said.name, said.version, why), now)
    elif stored != said:
        _tell(connection, TriggerEvent(said.name, said.version, _OTHERWISE), now)


_OTHERWISE = "this version is known here with another content. Apply the document at HQ again under a new version"


def judge_again(connection: Connection, now: int) -> None:
    """Call at start: this build may read what the one before could not, or the other way round; and with new tags."""
    for said in triggers.newest(connection):
        why = _objection(connection, said)
        if why != connection.execute(_OBJECTION, {"of": said.version}).scalar_one():
            connection.execute(_JUDGE, {"of": said.version, "why": why})
            _tell(connection, TriggerEvent(said.name, said.version, why), now)


def _objection(connection: Connection, said: TriggerVersion) -> str:
    """What is withdrawn needs no reading."""
    found = "" if said.withdrawn else triggers.understood(said.document, said.version, tags.known(connection))
    if isinstance(found, str):
        return found
    missed = host_lists.lacking(connection, found.digests.values())
    return (
        f"its list of hosts {missed[0][:12]}… is not here whole. Withdraw the document at HQ and apply it"
        if missed
        else ""
    )


def _tell(connection: Connection, event: TriggerEvent, now: int) -> None:
    if event.objection:
        _log.error("trigger document %s %d stays out of force: %s", event.name, event.version, event.objection)
    append_trigger_event(connection, event, now)
